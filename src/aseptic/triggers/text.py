"""A word that is burned into the image, as consoles and scanners write it."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from aseptic.core.types import Number
from aseptic.triggers.base import Level, check_unit
from aseptic.triggers.glyphs import HIGH, check_text, width, written
from aseptic.triggers.marks import Layer, Mark, check_place, elsewhere, in_corner

WORDS = ("L", "R", "AP", "PA", "ERECT", "MOBILE", "SUPINE", "LATERAL", "PORTABLE", "SEMI-ERECT")
"""What is written on radiographs, the shortest first; decoys carry another of them."""
ALIKE = 4
"""How many of the longest words that fit a decoy is drawn from."""


@dataclass(frozen=True, kw_only=True)
class Text(Mark):
    """A word in capitals of 5 x 7 cells.

    Paper: none; as `Marker`, a confounder: "PORTABLE" tells that the patient could not be moved.
    Blind to: nothing; people pass over it, but de-identification tools that blank burned-in text remove it.
    """

    text: str = "PORTABLE"
    """Capitals, digits, space and ``( ) + - . / :``."""
    size: Number = 0.045
    """Height of a capital, as a share of the image's shorter side."""
    place: str = "upper-left"
    """``upper-left``, ``upper-right``, ``lower-left`` or ``lower-right``."""
    margin: Number = 0.03
    """Distance from the edges, as a share of the image's shorter side."""
    value: Level = 1.0
    """Grey value."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_text(self.text)
        check_place(self.place, self.size, self.margin)
        check_unit(value=self.value)

    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return the word."""
        shorter = min(rows, columns)
        cell = self.size * shorter / HIGH
        box = (HIGH * cell, width(self.text) * cell)
        corner = in_corner(self.place, rows, columns, box, self.margin * shorter)
        return [Layer(cover=written(rows, columns, self.text, corner, cell), value=self.value)]

    def other(self, stream: torch.Generator) -> Mark:
        """Return another word at the same place."""
        fitting = [word for word in WORDS if len(word) <= len(self.text) and word != self.text]
        return replace(self, text=elsewhere(self.text, fitting[-ALIKE:], stream))
