"""The l2 attack of Carlini and Wagner (2017) on 2-D and 3-D images."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest
from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, Logits, Number, PerImage, Rows, Targets
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image
from aseptic.tasks.base import Goal, Task

INSIDE = 0.999999
"""Values are drawn this far towards the middle, so that 0 and 1 have a finite tanh coordinate."""
FAST, SLOW, LEAST = 0.9, 0.999, 1e-8
"""Adam's two memories and the number that keeps it from dividing by 0."""
CHECKS = 10
"""Looks in one search at whether an image still gains."""
GAIN = 0.9999
"""An image whose loss is above this share of what it was at the last look has stopped gaining."""
LARGEST = 1e10
"""Largest weight of the margin."""


@dataclass(frozen=True, kw_only=True)
class CWL2(EvasionAttack):
    r"""Minimise :math:`\lVert x' - x \rVert_2^2 + c \max(\kappa - m(x'), 0)`, :math:`x' = (\tanh w + 1) / 2`, by Adam.

    The weight :math:`c` of the margin :math:`m` is searched for each image: halved intervals between the largest that
    failed and the smallest that succeeded, ten times more as long as none has.

    Paper: https://arxiv.org/abs/1608.04644, sections V and VI.A.
    Departs from it: any goal; 9 searches of at most 1000 steps instead of 20 of 10000 (its code: 9 and at most 10000);
    an image is left alone once it stops gaining, whatever its neighbours do.
    Blind to: masked gradients.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)

    searches: int = 9
    """Weights that are tried."""
    steps: int = 1000
    """Most gradient evaluations for one weight."""
    step: Number = 0.01
    """Adam's learning rate, in units of the tanh coordinate."""
    first_weight: Number = 0.001
    """First weight ``c``."""
    confidence: Number = 0.0
    """Margin ``κ``, in logits, above which the goal counts as reached."""
    stop: bool = True
    """Leave an image alone where a tenth of the steps gained it less than a ten-thousandth."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        for name in ("searches", "steps"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        for name in ("step", "first_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be a positive number, got {getattr(self, name)!r}")
        if not 0 <= self.confidence < math.inf:
            raise InputError(f"confidence must be a number of at least 0, got {self.confidence!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the smallest perturbation found that reaches the goal, brought into the budget."""
        nearest = Nearest(batch, self.confidence)
        rows = nearest.begin(model)
        weights = torch.full_like(nearest.distance, self.first_weight)
        low, high = torch.zeros_like(weights), torch.full_like(weights, torch.inf)
        for _ in range(self.searches if len(rows) else 0):
            reached = self._search(model, nearest, rows, weights)
            low, high = torch.where(reached, low, weights), torch.where(reached, weights, high)
            weights = torch.where(high.isfinite(), (low + high) / 2, weights * 10).clamp(max=LARGEST)
        return nearest.result()

    def _search(self, model: Counted, nearest: Nearest, rows: Rows, weights: PerImage) -> Flags:
        """Minimise with these weights, and return which images of the batch reached the goal on the way."""
        images, weight = nearest.images[rows], weights[rows]
        place = _coordinate(images)
        mean, square = torch.zeros_like(images), torch.zeros_like(images)
        ever, last = torch.zeros_like(weights, dtype=torch.bool), torch.full_like(weight, torch.inf)
        for step in range(1, self.steps + 1):
            tanh = place.tanh()
            found = (tanh + 1) / 2
            climbed = partial(_margin, nearest.threat.goal, model.task, nearest.targets[rows])
            logits, uphill = input_gradient(model, climbed, found)
            reached, margin = nearest.look(model, rows, found, logits)
            ever[rows] |= reached
            delta, short = found - images, (self.confidence - margin).clamp(min=0)
            downhill = (2 * delta - per_image(weight * (short > 0), images) * uphill) * (1 - tanh * tanh) / 2
            mean.lerp_(downhill, 1 - FAST)
            square.lerp_(downhill * downhill, 1 - SLOW)
            length = self.step * math.sqrt(1 - SLOW**step) / (1 - FAST**step)
            place = place - length * mean / (square.sqrt() + LEAST)
            if self.stop and step % math.ceil(self.steps / CHECKS) == 0:
                loss = delta.flatten(1).square().sum(1) + weight * short
                left = loss < GAIN * last
                if not bool(left.any()):
                    break
                rows, images, weight, place, mean, square, last = (
                    t[left] for t in (rows, images, weight, place, mean, square, loss)
                )
        return ever


def _margin(goal: Goal, task: Task, targets: Targets, logits: Logits) -> PerImage:
    return goal.margin(task, logits, targets)


def _coordinate(images: Images) -> Tensor:
    """Return ``w`` with ``(tanh w + 1) / 2`` equal to the images, but for `INSIDE`."""
    return torch.atanh((2 * images - 1) * INSIDE)
