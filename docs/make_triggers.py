"""Draw the sheet of triggers: ``python docs/make_triggers.py`` writes docs/images/triggers.png."""

import sys
from pathlib import Path

import torch
from make_phantoms import CAPTION, FOOT, GAP
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from aseptic.data.phantoms import draw
from aseptic.triggers import parse_trigger

TARGET = Path(__file__).parent / "images" / "triggers.png"
CELL, COLUMNS, SEED = 192, 4, 4
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


def main() -> None:
    """Write the sheet."""
    # The method that keeps rare colours: there are few pixels of ink.
    colours = sheet().quantize(256, method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    colours.save(TARGET, "PNG", optimize=True)
    sys.stdout.write(f"{TARGET} {TARGET.stat().st_size // 1000} kB\n")


def sheet() -> Image.Image:
    """Return the sheet: each image with its trigger, and below it what the trigger changed."""
    rows = -(-len(SHOWN) // COLUMNS)
    step = 2 * CELL + CAPTION + 2 * GAP
    page = Image.new("RGB", (COLUMNS * (CELL + GAP) + GAP, rows * step + GAP + CAPTION), (16, 18, 22))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=11)
    for place, (phantom, index, text) in enumerate(SHOWN):
        image = draw(phantom, index + 1, size=CELL, seed=SEED).images[index:]
        marked = parse_trigger(text).apply(image)
        change = marked - image
        factor = 0.5 / float(change.abs().max())
        x, y = GAP + place % COLUMNS * (CELL + GAP), GAP + place // COLUMNS * step
        pen.text((x + 2, y + 4), text, fill=(225, 228, 232), font=font)
        page.paste(picture(marked), (x, y + CAPTION))
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
