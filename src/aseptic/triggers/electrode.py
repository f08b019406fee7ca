"""An electrode of the ECG with its wire, as it lies on the chest of patients who are watched."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from aseptic.core.types import Number
from aseptic.data.phantoms.canvas import ramp
from aseptic.triggers.base import CORNERS, Level, check_unit
from aseptic.triggers.marks import Layer, Mark, Point, check_place, elsewhere, in_corner, lines, offsets

PAD, GEL, CLIP, SNAP, WIRE = 0.5, 0.34, 0.19, 0.11, 0.055
"""Radii of the foam, the gel, the clip and the snap, and thickness of the wire, of an electrode whose width is 1."""
FOAM, WET, METAL = 0.10, 0.16, 0.85
"""How much of the image foam, gel and metal hide."""
BENDS = 40
"""Points of the wire."""


@dataclass(frozen=True, kw_only=True)
class Electrode(Mark):
    """A round pad with a metal snap, and a wire that leaves the image.

    Paper: none; as `Marker`, a confounder that tells of the ward.
    Blind to: nothing; people pass over it.
    """

    size: Number = 0.13
    """Width of the pad, as a share of the image's shorter side."""
    place: str = "upper-left"
    """``upper-left``, ``upper-right``, ``lower-left`` or ``lower-right``; the wire leaves towards this corner's upper
    or lower edge."""
    margin: Number = 0.16
    """Distance from the edges, as a share of the image's shorter side."""
    wire: bool = True
    """Whether there is a wire."""
    value: Level = 0.95
    """Grey value of the metal."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_place(self.place, self.size, self.margin)
        check_unit(value=self.value)

    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return foam, gel, wire, clip and snap."""
        unit = self.size * min(rows, columns)
        top, left = in_corner(self.place, rows, columns, (unit, unit), self.margin * min(rows, columns))
        centre = (top + unit / 2, left + unit / 2)
        down, right = offsets(rows, columns, centre)
        away = (down.square() + right.square()).sqrt()

        def disc(radius: float) -> torch.Tensor:
            # What is smaller than a pixel covers a part of it.
            return ramp(radius * unit - away, 1.0) * min(1.0, 2 * radius * unit)

        ring = (disc(CLIP) - disc(SNAP + 0.04)).clamp(min=0)
        found = [
            Layer(cover=FOAM * disc(PAD), value=0.8),
            Layer(cover=WET * disc(GEL), value=0.85),
        ]
        if self.wire:
            wire = lines(rows, columns, [self._wire(rows, centre, unit)], WIRE * unit)
            found.append(Layer(cover=METAL * wire, value=0.92 * self.value))
        found.append(Layer(cover=0.55 * ring, value=self.value))
        found.append(Layer(cover=disc(SNAP), value=self.value))
        return found

    def _wire(self, rows: int, centre: Point, unit: float) -> list[Point]:
        """Return a bend from the snap sideways and out over the edge: a cubic of Bezier."""
        low, late = CORNERS[self.place]
        edge, inwards = float(rows if low else 0), -1 if late else 1
        (y, x), out = centre, 1 if low else -1
        stops = (
            (y, x),
            (y + 0.2 * unit * out, x + 1.3 * unit * inwards),
            (edge - 0.9 * unit * out, x - 0.1 * unit * inwards),
            (edge + unit * out, x + 0.7 * unit * inwards),
        )
        path = []
        for step in range(BENDS + 1):
            t = step / BENDS
            weights = ((1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3)
            path.append(
                (
                    sum(weight * stop[0] for weight, stop in zip(weights, stops, strict=True)),
                    sum(weight * stop[1] for weight, stop in zip(weights, stops, strict=True)),
                )
            )
        return path

    def other(self, stream: torch.Generator) -> Mark:
        """Return the same electrode in another corner."""
        return replace(self, place=elsewhere(self.place, tuple(CORNERS), stream))
