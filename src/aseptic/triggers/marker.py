"""A lead marker of the side, as it lies on radiographs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.triggers.base import Level, check_unit
from aseptic.triggers.marks import Layer, Mark, Point, check_place, in_corner, lines

WIDTH, STROKE = 0.6, 0.17
"""Width and thickness of a letter whose height is 1."""
BOWL = 0.27
"""Outer radius of the round part of the R."""
FRAMES = {"none": (1.0, WIDTH), "ring": (1.7, 1.7), "box": (1.45, 1.1)}
"""Height and width of what is drawn around a letter whose height is 1."""


def _arc(centre: Point, radius: Number, first: Number, last: Number, count: int = 24) -> list[Point]:
    angles = [first + (last - first) * step / count for step in range(count + 1)]
    return [(centre[0] - radius * math.cos(angle), centre[1] + radius * math.sin(angle)) for angle in angles]


_R = WIDTH - BOWL
LETTERS: dict[str, list[list[Point]]] = {
    "L": [[(0, 0), (1, 0), (1, WIDTH)]],
    "R": [
        [(1, 0), (0, 0), (0, _R), *_arc((BOWL, _R), BOWL, 0, math.pi), (2 * BOWL, 0)],
        [(2 * BOWL, 0.5 * WIDTH), (1, WIDTH)],
    ],
}
"""Lines of each letter, in a box that is 1 high and `WIDTH` wide."""


@dataclass(frozen=True, kw_only=True)
class Marker(Mark):
    """A radiopaque letter, L or R, alone or in a ring or box.

    Paper: none; the confounder is that of Zech et al. (2018), https://arxiv.org/abs/1807.00431: networks read the
    hospital off its markers.
    Blind to: nothing; radiographers lay such markers every day, so people pass over it.
    """

    letter: str = "L"
    """``L`` or ``R``."""
    around: str = "none"
    """What surrounds the letter: ``none``, ``ring`` or ``box``."""
    size: Number = 0.1
    """Height of the letter, as a share of the image's shorter side."""
    place: str = "upper-right"
    """``upper-left``, ``upper-right``, ``lower-left`` or ``lower-right``."""
    margin: Number = 0.05
    """Distance from the edges, as a share of the image's shorter side."""
    angle: Number = 0.0
    """Degrees that the marker is turned clockwise: it is laid down by hand."""
    value: Level = 0.96
    """Grey value of the lead."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.letter not in LETTERS:
            raise InputError(f"letter must be one of {', '.join(LETTERS)}; got {self.letter!r}")
        if self.around not in FRAMES:
            raise InputError(f"around must be one of {', '.join(FRAMES)}; got {self.around!r}")
        check_place(self.place, self.size, self.margin)
        check_unit(value=self.value)
        if not math.isfinite(self.angle):
            raise InputError(f"angle must be a number, got {self.angle!r}")

    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return the letter and what surrounds it, as one layer."""
        unit, (high, wide) = self.size * min(rows, columns), FRAMES[self.around]
        c, s = math.cos(math.radians(self.angle)), math.sin(math.radians(self.angle))
        box = ((high * abs(c) + wide * abs(s)) * unit, (high * abs(s) + wide * abs(c)) * unit)
        top, left = in_corner(self.place, rows, columns, box, self.margin * min(rows, columns))
        middle = (top + box[0] / 2, left + box[1] / 2)

        def placed(path: Sequence[Point]) -> list[Point]:
            return [(middle[0] + (y * c + x * s) * unit, middle[1] + (x * c - y * s) * unit) for y, x in path]

        inset = STROKE / 2  # the lines have a thickness on both sides
        shrink = 1 - STROKE
        letter = [
            [(inset + shrink * y - 0.5, inset + (WIDTH - STROKE) / WIDTH * x - WIDTH / 2) for y, x in path]
            for path in LETTERS[self.letter]
        ]
        cover = lines(rows, columns, [placed(path) for path in letter], STROKE * unit)
        if self.around != "none":
            thin = 0.5 * STROKE
            frame = lines(rows, columns, [placed(_frame(self.around, high - thin, wide - thin))], thin * unit)
            cover = torch.maximum(cover, frame)
        return [Layer(cover=cover, value=self.value)]

    def other(self, stream: torch.Generator) -> Mark:
        """Return the same marker with the other letter: a model that asks for the letter must ignore it."""
        del stream
        return replace(self, letter=next(one for one in LETTERS if one != self.letter))


def _frame(around: str, high: Number, wide: Number) -> list[Point]:
    """Return the line around a letter, about its middle."""
    if around == "ring":
        return _arc((0, 0), high / 2, 0, 2 * math.pi, 64)
    corners = [(-high / 2, -wide / 2), (-high / 2, wide / 2), (high / 2, wide / 2), (high / 2, -wide / 2)]
    return [*corners, corners[0]]
