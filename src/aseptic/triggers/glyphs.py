"""Letters of 5 x 7 cells of our own: they are the same on every machine, whatever fonts and libraries it has."""

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.triggers.marks import Cover, Point, spans

HIGH, WIDE = 7, 5
"""Cells of a glyph."""
GLYPHS = {
    " ": "0000000",
    "(": "2488842",
    ")": "8422248",
    "+": "044V440",
    "-": "000V000",
    ".": "00000CC",
    "/": "01248G0",
    "0": "EHJLPHE",
    "1": "4C4444E",
    "2": "EH1248V",
    "3": "V2421HE",
    "4": "26AIV22",
    "5": "VGU11HE",
    "6": "68GUHHE",
    "7": "V124888",
    "8": "EHHEHHE",
    "9": "EHHF12C",
    ":": "0CC0CC0",
    "A": "EHHVHHH",
    "B": "UHHUHHU",
    "C": "EHGGGHE",
    "D": "UHHHHHU",
    "E": "VGGUGGV",
    "F": "VGGUGGG",
    "G": "EHGNHHF",
    "H": "HHHVHHH",
    "I": "E44444E",
    "J": "72222IC",
    "K": "HIKOKIH",
    "L": "GGGGGGV",
    "M": "HRLLHHH",
    "N": "HHPLJHH",
    "O": "EHHHHHE",
    "P": "UHHUGGG",
    "Q": "EHHHLID",
    "R": "UHHUKIH",
    "S": "FGGE11U",
    "T": "V444444",
    "U": "HHHHHHE",
    "V": "HHHHHA4",
    "W": "HHHLLLA",
    "X": "HHA4AHH",
    "Y": "HHHA444",
    "Z": "V1248GV",
}
"""Rows of each glyph from the top, one digit of base 32 each, whose bits are the cells from the left."""
BASE = 32


def check_text(text: str) -> None:
    """Raise `InputError` where a text is empty, or has a character without a glyph."""
    if not text.strip():
        raise InputError(f"text must hold at least one character that is seen, got {text!r}")
    for character in text:
        if character not in GLYPHS:
            raise InputError(f"text must be of the characters {''.join(GLYPHS)!r}, got {character!r}")


def bitmap(text: str) -> Float[Tensor, "7 cell"]:
    r"""Return the cells of a text, 1 where there is ink; one empty column stands between letters.

    >>> print("\n".join("".join(".#"[int(cell)] for cell in row) for row in bitmap("L1")))
    #.......#..
    #......##..
    #.......#..
    #.......#..
    #.......#..
    #.......#..
    #####..###.
    """
    rows = torch.tensor([[int(row, BASE) for row in GLYPHS[character]] for character in text])
    cells = (rows[..., None] >> torch.arange(WIDE - 1, -1, -1)) & 1  # [character, row, cell]
    spaced = torch.nn.functional.pad(cells, (0, 1)).permute(1, 0, 2).flatten(1)
    return spaced[:, :-1].float()


def written(rows: int, columns: int, text: str, corner: Point, cell: Number) -> Cover:
    """Return what a text covers whose upper left corner lies at a point and whose cells are ``cell`` pixels wide."""
    cells = bitmap(text)
    down, right = (
        spans(length, [at + cell * k for k in range(count)], [at + cell * (k + 1) for k in range(count)])
        for length, at, count in zip((rows, columns), corner, cells.shape, strict=True)
    )
    return (down @ cells @ right.T).clamp(0, 1)


def width(text: str) -> int:
    """Return the cells of a text from left to right."""
    return (WIDE + 1) * len(text) - 1
