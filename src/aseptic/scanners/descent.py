"""Adam for many searches at once, from which those that have ended can leave."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aseptic.core.types import Number, Rows

Place = tuple[Tensor, ...]
"""Where searches stand: tensors whose first axis counts the searches."""
LEAST = 1e-8
"""Keeps Adam from dividing by 0."""


class Adam:
    """One Adam for each search; they share nothing but the number of steps."""

    def __init__(self, place: Place, *, fast: Number, slow: Number) -> None:
        """Begin with empty memories, which last about ``1 / (1 - fast)`` and ``1 / (1 - slow)`` steps."""
        self.fast, self.slow, self.steps = fast, slow, 0
        self.means = tuple(torch.zeros_like(one) for one in place)
        self.squares = tuple(torch.zeros_like(one) for one in place)

    def move(self, place: Place, gradients: Sequence[Tensor], step: Number) -> Place:
        """Return where the searches stand after one step of this length against their gradients."""
        self.steps += 1
        length = step * math.sqrt(1 - self.slow**self.steps) / (1 - self.fast**self.steps)
        moved = []
        for one, gradient, mean, square in zip(place, gradients, self.means, self.squares, strict=True):
            mean.lerp_(gradient, 1 - self.fast)
            square.lerp_(gradient * gradient, 1 - self.slow)
            moved.append(one - length * mean / (square.sqrt() + LEAST))
        return tuple(moved)

    def keep(self, rows: Rows) -> None:
        """Forget all searches but these."""
        self.means, self.squares = at(self.means, rows), at(self.squares, rows)


def at(place: Place, rows: Rows) -> Place:
    """Return where some of the searches stand."""
    return tuple(one[rows] for one in place)
