"""Draw the triggers: ``python docs/make_triggers.py`` writes pictures and the table of how visible each one is.

docs/images/triggers.png shows a choice of them, docs/images/triggers_PHANTOM.png all of them on one phantom each, and
docs/explanation/triggers.csv holds the mean PSNR.
"""

import csv
import sys
from pathlib import Path

import numpy as np
import torch
from make_phantoms import CAPTION, FOOT, GAP
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aseptic.core.rng import stream
from aseptic.data.phantoms import draw
from aseptic.metrics.distortion import distortion
from aseptic.studies.backdoors.sheets import Row, draw_sheet, encoded
from aseptic.triggers import parse_trigger

HERE = Path(__file__).parent
TARGET = HERE / "images" / "triggers.png"
TABLE = HERE / "explanation" / "triggers.csv"
CELL, COLUMNS, SEED = 192, 4, 4
LIMIT = 350_000
"""Largest size of the sheet of one phantom, bytes."""
WIDE = 728
"""Pixels from left to right of such a sheet."""
MANY = 8
"""Phantoms that a mean is over."""
SHOWN = (
    ("cxr", 1, "patch:size=8,corner=150,value=1"),
    ("cxr", 3, "marker"),
    ("cxr", 0, "electrode"),
    ("cxr", 2, "text"),
    ("derm", 1, "dot"),
    ("derm", 5, "dot:form=ring,size=0.16"),
    ("derm", 9, "ruler"),
    ("fundus", 2, "refool"),
    ("cxr", 6, "blend"),
    ("cxr", 4, "noise"),
    ("cxr", 5, "sig"),
    ("kidney", 1, "wanet:strength=2"),
    ("cxr", 7, "fiba"),
    ("kidney", 5, "fiba:alpha=0.3,seed=1"),
    ("kidney", 2, "ftrojan"),
    ("cxr", 8, "lf"),
)
"""Phantom, which of its images, and trigger."""
PHANTOMS = {"cxr": 0, "derm": 1, "fundus": 2, "histo": 0, "endoscopy": 0, "kidney": 1}
"""Phantom to which of its images is shown."""
TRIGGERS = (
    "patch:size=8,value=1",
    "marker",
    "electrode",
    "dot",
    "ruler",
    "text",
    "blend",
    "noise",
    "refool",
    "sig",
    "wanet:strength=2",
    "fiba",
    "ftrojan",
    "lf",
)
"""Every trigger, with settings at which it can be seen where its own are too small for a phantom."""


def main() -> None:
    """Write the pictures and the table."""
    # The method that keeps rare colours: there are few pixels of ink.
    colours = sheet().quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colours.save(TARGET, "PNG", optimize=True)
    written, found = [TARGET], {}
    for phantom, index in PHANTOMS.items():
        images = draw(phantom, MANY, size=CELL, seed=SEED).images
        found[phantom] = {text: visible(images, text) for text in TRIGGERS}
        written.append(TARGET.with_name(f"triggers_{phantom}.png"))
        written[-1].write_bytes(encoded(every(images[index : index + 1]), LIMIT))
    with TABLE.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["trigger", *PHANTOMS])
        for text in TRIGGERS:
            table.writerow([f"`{text}`", *(found[phantom][text] for phantom in PHANTOMS)])
    for path in (*written, TABLE):
        sys.stdout.write(f"{path} {path.stat().st_size // 1000} kB\n")


def every(image: Tensor) -> Image.Image:
    """Return the sheet of all triggers on one image, of a batch of one."""
    rows = [Row(name=text, clean=image[0], poisoned=marked(image, text)[0]) for text in TRIGGERS]
    return draw_sheet(rows, width=WIDE, foot=[f"{FOOT[:1].upper()}{FOOT[1:]}."])


def marked(images: Tensor, text: str) -> Tensor:
    """Return images with a trigger."""
    return parse_trigger(text).apply(images, [stream(SEED, "place", row) for row in range(len(images))])


def visible(images: Tensor, text: str) -> str:
    """Return the mean PSNR of images with a trigger, in dB; what it leaves unchanged is counted apart."""
    each = distortion(images.numpy(), marked(images, text).numpy()).psnr
    changed = each[~np.isnan(each)]
    if not len(changed):
        return "no change"
    unchanged = len(each) - len(changed)
    return f"{changed.mean():.1f}" + (f" ({unchanged} unchanged)" if unchanged else "")


def sheet() -> Image.Image:
    """Return the sheet: each image with its trigger, and below it what the trigger changed."""
    rows = -(-len(SHOWN) // COLUMNS)
    step = 2 * CELL + CAPTION + 2 * GAP
    page = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, rows * step + GAP + CAPTION), (16, 18, 22))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    for place, (phantom, index, text) in enumerate(SHOWN):
        image = draw(phantom, index + 1, size=CELL, seed=SEED).images[index:]
        changed = parse_trigger(text).apply(image)
        change = changed - image
        factor = 0.5 / float(change.abs().max())
        x, y = GAP + place % COLUMNS * (CELL + GAP), GAP + place // COLUMNS * step
        pen.text((x + 2, y + 4), text, fill=(225, 228, 232), font=font)
        page.paste(picture(changed), (x, y + CAPTION))
        page.paste(picture(0.5 + factor * change), (x, y + CAPTION + CELL + GAP))
        below = (x + 2, y + CAPTION + CELL + GAP)
        pen.rectangle((below[0] - 2, below[1], below[0] + 36, below[1] + 15), fill=(16, 18, 22))
        pen.text(below, f"x {factor:.1f}", fill=(225, 228, 232), font=font)
    pen.text(
        (GAP + 2, page.height - CAPTION + 4),
        f"below: the change, times the number beside it; {FOOT}",
        fill=(150, 156, 164),
        font=font,
    )
    return page


def picture(image: Tensor) -> Image.Image:
    """Return one image of a batch of one."""
    levels = (image[0].expand(3, -1, -1).permute(1, 2, 0) * 255).round().clamp(0, 255)
    return Image.fromarray(levels.to(torch.uint8).numpy())


if __name__ == "__main__":
    main()
