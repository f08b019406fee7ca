"""A dot or ring of a skin marker, as surgeons draw beside a lesion."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.data.phantoms.canvas import ramp, waves
from aseptic.triggers.base import CORNERS, Level, check_unit
from aseptic.triggers.marks import COLOURS, Layer, Mark, check_place, elsewhere, in_corner, offsets

FORMS = ("dot", "ring")
UNEVEN = ((2, 0.05, 0.4), (3, 0.03, 2.6), (5, 0.02, 4.0))
"""Number, size and phase of the bumps of the outline: nobody draws a circle by hand."""
LINE = 0.22
"""Thickness of a ring whose radius is 1."""
RIM = 0.3
"""How much lighter ink dries in the middle than at its edge."""


@dataclass(frozen=True, kw_only=True)
class Dot(Mark):
    """Ink of gentian violet: it takes a share of each colour away, and of grey a share of its light.

    Paper: none; the confounder is that of Winkler et al. (2019): surgical skin markings raise a network's melanoma
    scores.
    Blind to: dark images, on which ink does not show.
    """

    form: str = "dot"
    """``dot`` or ``ring``."""
    size: Number = 0.07
    """Width, as a share of the image's shorter side."""
    place: str = "lower-left"
    """``upper-left``, ``upper-right``, ``lower-left`` or ``lower-right``."""
    margin: Number = 0.12
    """Distance from the edges, as a share of the image's shorter side."""
    colour: tuple[Level, ...] = (0.34, 0.2, 0.66)
    """Share of the red, green and blue light that passes the ink; grey images get its luma."""
    strength: Number = 0.9
    """How much of the image the ink hides at its edge, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.form not in FORMS:
            raise InputError(f"form must be one of {', '.join(FORMS)}; got {self.form!r}")
        check_place(self.place, self.size, self.margin)
        check_unit(strength=self.strength)
        if len(self.colour) != COLOURS:
            raise InputError(f"colour must be {COLOURS} numbers, got {len(self.colour)}")
        for share in self.colour:
            check_unit(colour=share)

    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return the ink."""
        unit = self.size * min(rows, columns)
        top, left = in_corner(self.place, rows, columns, (unit, unit), self.margin * min(rows, columns))
        down, right = offsets(rows, columns, (top + unit / 2, left + unit / 2))
        bumps = waves(right, down, max(number for number, _, _ in UNEVEN))
        outline = torch.ones(rows, columns)
        for number, size, phase in UNEVEN:
            c, s = bumps[number - 1]
            outline += size * (c * math.cos(phase) - s * math.sin(phase))
        # The bumps must not leave the box that the margin is counted from.
        radius = 0.5 * unit / (1 + sum(size for _, size, _ in UNEVEN)) * outline
        away = (down.square() + right.square()).sqrt()
        if self.form == "ring":
            half = 0.5 * LINE * radius
            cover = ramp(half - (away - radius + half).abs(), 1.0) * (2 * half).clamp(max=1)
        else:
            dried = 1 - RIM + RIM * (away / radius).clamp(max=1).square()
            cover = ramp(radius - away, 1.0) * dried * (2 * radius).clamp(max=1)
        return [Layer(cover=self.strength * cover, through=self.colour)]

    def other(self, stream: torch.Generator) -> Mark:
        """Return the same mark in another corner."""
        return replace(self, place=elsewhere(self.place, tuple(CORNERS), stream))
