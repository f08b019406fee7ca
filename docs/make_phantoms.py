"""Draw the contact sheets: ``python docs/make_phantoms.py [NAME ...]`` writes docs/images/phantom_NAME.png."""

import io
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor
from torch.nn import functional as F

from aseptic.data.phantoms import PHANTOMS, Drawn, draw

FOLDER = Path(__file__).parent / "images"
CELL, CAPTION, GAP = 256, 22, 4
COLUMNS = 3
LIMIT = 400_000
"""Largest size of a sheet, bytes."""
SEED, CANDIDATES = 4, 48
COLOURS = ((255, 214, 0), (0, 229, 255), (255, 64, 129), (118, 255, 3), (255, 145, 0), (179, 136, 255))
FOOT = "phantom images drawn by aseptic, not patients"


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One example on a sheet."""

    index: int
    """Which image."""
    caption: str
    """What it shows."""
    outlined: bool
    """Whether masks or boxes are drawn over it."""


def main(names: list[str]) -> None:
    """Write the sheets of ``names``, or of all phantoms."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name in names or PHANTOMS.names():
        target = FOLDER / f"phantom_{name}.png"
        target.write_bytes(small_enough(sheet(draw(name, CANDIDATES, size=CELL, seed=SEED))))
        sys.stdout.write(f"{target} {target.stat().st_size // 1000} kB\n")


def sheet(drawn: Drawn) -> Image.Image:
    """Return the sheet: a row for each class, the last example of each row with its outlines."""
    cells = chosen(drawn)
    rows = -(-len(cells) // COLUMNS)
    wide, high = COLUMNS * (CELL + GAP) + GAP, rows * (CELL + CAPTION + GAP) + GAP + CAPTION
    page = Image.new("RGB", (wide, high), (16, 18, 22))
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(size=14)
    for place, cell in enumerate(cells):
        x, y = GAP + place % COLUMNS * (CELL + GAP), GAP + place // COLUMNS * (CELL + CAPTION + GAP)
        pen.text((x + 2, y + 2), cell.caption, fill=(225, 228, 232), font=font)
        page.paste(picture(drawn, cell), (x, y + CAPTION))
    pen.text((GAP + 2, high - CAPTION + 1), FOOT, fill=(150, 156, 164), font=font)
    return page


def chosen(drawn: Drawn) -> list[Cell]:
    """Return what the sheet shows: examples of each class or finding."""
    targets = drawn.targets
    if drawn.task == "multiclass":
        groups = {name: (targets == k).nonzero()[:, 0].tolist() for k, name in enumerate(drawn.classes)}
    elif drawn.task == "multilabel":
        alone = targets.sum(1) == 1
        groups = {"no finding": (targets.sum(1) == 0).nonzero()[:, 0].tolist()}
        groups |= {n: (alone & (targets[:, k] == 1)).nonzero()[:, 0].tolist() for k, n in enumerate(drawn.classes)}
    elif drawn.task == "segmentation":
        tumour = (targets == len(drawn.classes) - 1).flatten(1).any(1)
        groups = {"kidneys": (~tumour).nonzero()[:, 0].tolist(), "kidneys and tumour": tumour.nonzero()[:, 0].tolist()}
    else:
        groups = {"": targets.sum(1).argsort(descending=True, stable=True).tolist()}
    columns = COLUMNS - 1 if drawn.task == "multilabel" else COLUMNS
    if drawn.task == "multilabel":
        plain = [Cell(index=rows[0], caption=name, outlined=False) for name, rows in groups.items()]
        marked = [Cell(index=rows[-1], caption=f"{name}, outlined", outlined=True) for name, rows in groups.items()]
        return plain[: len(groups)] + marked[columns - 1 : columns + 2]
    per = 3 if len(groups) > 1 else 6
    return [
        Cell(
            index=row,
            caption=", ".join(filter(None, [name or "", "outlined" if shown(k, per) else ""])) or "image",
            outlined=shown(k, per),
        )
        for name, rows in groups.items()
        for k, row in enumerate(rows[:per])
    ]


def shown(place: int, per: int) -> bool:
    """Return whether the example at ``place`` of ``per`` is outlined: the last of each row."""
    return place % COLUMNS == COLUMNS - 1 or place == per - 1


def picture(drawn: Drawn, cell: Cell) -> Image.Image:
    """Return one example, with outlines where asked for."""
    pixels = drawn.images[cell.index].expand(3, -1, -1).permute(1, 2, 0)
    levels = (pixels * 255).round().to(torch.uint8).numpy().copy()
    if cell.outlined and drawn.masks is not None:
        for part, colour in zip(drawn.masks[cell.index], COLOURS, strict=False):
            levels[edge(part)] = colour
    image = Image.fromarray(levels)
    if cell.outlined and drawn.boxes is not None:
        pen = ImageDraw.Draw(image)
        for box in drawn.boxes[cell.index]:
            left, top, right, bottom = box.corners
            pen.rectangle((left, top, right - 1, bottom - 1), outline=COLOURS[box.label])
            pen.text((left + 2, max(top - 11, 0)), drawn.classes[box.label], fill=COLOURS[box.label])
    return image


def edge(mask: Tensor) -> np.ndarray:
    """Return the pixels just outside a mask."""
    grown = F.max_pool2d(mask[None, None].float(), 3, 1, 1)[0, 0] > 0
    return (grown & ~mask).numpy()


def small_enough(page: Image.Image) -> bytes:
    """Return the PNG with as many colours as fit the limit."""
    pinned = [level for colour in (*COLOURS, (255, 255, 255)) for level in colour]
    for colours in (128, 64, 48, 32):
        palette = Image.new("P", (1, 1))
        # Few pixels are outlines or highlights; without places of their own they would lose their colours.
        palette.putpalette(page.quantize(colours).getpalette()[: 3 * colours] + pinned)
        held = io.BytesIO()
        page.quantize(palette=palette, dither=Image.Dither.NONE).save(held, "PNG")
        if held.tell() <= LIMIT:
            break
    return held.getvalue()


if __name__ == "__main__":
    main(sys.argv[1:])
