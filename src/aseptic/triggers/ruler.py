"""The edge of a ruler, as it lies beside lesions and specimens."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.triggers.base import Level, check_unit
from aseptic.triggers.glyphs import HIGH, width, written
from aseptic.triggers.marks import Cover, Layer, Mark, check_size, elsewhere, spans

SIDES = ("left", "right", "upper", "lower")
LONG, MIDDLE, SHORT = 0.5, 0.38, 0.26
"""Length of the ticks at every tenth, fifth and any other step, of a ruler whose depth is 1."""
THICK = 0.22
"""Thickness of a tick, of one step."""
DIGITS = 0.3
"""Height of the numbers, of a ruler whose depth is 1."""


@dataclass(frozen=True, kw_only=True)
class Ruler(Mark):
    """A strip of paper along one side of the image, with ticks and numbers.

    Paper: none; the confounder is that of Narla et al. (2018): networks call lesions beside a ruler malignant.
    Blind to: a central crop, which takes it away.
    """

    side: str = "lower"
    """Side of the image: ``left``, ``right``, ``upper`` or ``lower``."""
    size: Number = 0.09
    """Depth of the strip, as a share of the image's shorter side."""
    step: Number = 0.02
    """Distance of the ticks, as a share of the image's shorter side."""
    value: Level = 0.1
    """Grey value of ticks and numbers."""
    ground: Level | None = 0.9
    """Grey value of the strip; None draws ticks and numbers alone, as scanners do."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.side not in SIDES:
            raise InputError(f"side must be one of {', '.join(SIDES)}; got {self.side!r}")
        check_size(self.size)
        if not 0 < self.step <= 1:
            raise InputError(f"step must lie in (0, 1], got {self.step:g}")
        check_unit(value=self.value, ground=0.0 if self.ground is None else self.ground)

    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return the strip, the ticks, and the numbers."""
        shorter, upright = min(rows, columns), self.side in {"left", "right"}
        depth, step = self.size * shorter, self.step * shorter
        along, across = (rows, columns) if upright else (columns, rows)
        found = []
        if self.ground is not None:
            strip = self._turned(spans(across, [0.0], [depth])[:, 0], torch.ones(along))
            found.append(Layer(cover=strip, value=self.ground))
        ticks = torch.zeros(rows, columns)
        for length, chosen in self._ticks(int(along / step)):
            places = [(number + 0.5) * step for number in chosen]
            half = THICK * step / 2
            line = spans(along, [at - half for at in places], [at + half for at in places]).sum(1)
            # From the edge that touches the image's middle outwards, as on a ruler.
            ticks = torch.maximum(ticks, self._turned(spans(across, [depth * (1 - length)], [depth])[:, 0], line))
        found.append(Layer(cover=ticks, value=self.value))
        found.append(Layer(cover=self._numbers(rows, columns, depth, step), value=self.value))
        return found

    def _ticks(self, count: int) -> list[tuple[float, range | list[int]]]:
        """Return the numbers of the ticks of each length."""
        short = [number for number in range(count) if number % 5]
        return [(SHORT, short), (MIDDLE, range(5, count, 10)), (LONG, range(0, count, 10))]

    def _turned(self, across: Tensor, along: Tensor) -> Cover:
        """Return a pattern given across the strip from its outer edge, and along it, at its side of the image."""
        if self.side in {"right", "lower"}:
            across = across.flip(0)
        return along[:, None] * across if self.side in {"left", "right"} else across[:, None] * along

    def _numbers(self, rows: int, columns: int, depth: float, step: float) -> Cover:
        """Return the numbers at every tenth tick, upright on every side; the first would not fit and is left out."""
        cell, upright = DIGITS * depth / HIGH, self.side in {"left", "right"}
        found, last = torch.zeros(rows, columns), (rows if upright else columns)
        for number in range(1, int(last / step) // 10 + 1):
            text, at = str(number), (10 * number + 0.5) * step
            high, wide = HIGH * cell, width(str(number)) * cell
            room = ((1 - LONG) * depth - (wide if upright else high)) / 2
            near = room if self.side in {"left", "upper"} else (columns if upright else rows) - room
            outer = near if self.side in {"left", "upper"} else near - (wide if upright else high)
            corner = (at - high / 2, outer) if upright else (outer, at - wide / 2)
            found = torch.maximum(found, written(rows, columns, text, corner, cell))
        return found

    def other(self, stream: torch.Generator) -> Mark:
        """Return the same ruler at another side."""
        return replace(self, side=elsewhere(self.side, SIDES, stream))
