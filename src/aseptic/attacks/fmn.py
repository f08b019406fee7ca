"""Fast minimum-norm attack (Pintor et al., 2021) on 2-D and 3-D images."""

from dataclasses import dataclass

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest, cosine, longest, rounding
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.balls import DUAL, Ball, nearest_inside, unblocked
from aseptic.ops.gradients import input_gradient

LAST_FACTOR = 0.001
"""Where the change of the radius ends, as a share."""


@dataclass(frozen=True, kw_only=True)
class FMN(EvasionAttack):
    r"""Repeat :math:`\delta \leftarrow \Pi_\epsilon(\delta + a\, \nabla m / \lVert \nabla m \rVert_2)`.

    The radius :math:`\epsilon` of each image is first the distance to the linearised boundary; once the goal was
    reached, it shrinks by a factor where it is and grows where it is not.

    Paper: https://arxiv.org/abs/2102.12827, algorithm 1.
    Departs from it: any goal, through its margin; no l0; a step is not spent on values that are already at 0 or 1;
    images that reach the goal as they are cost one pass.
    Blind to: masked gradients.
    """

    steps: int = 100
    """Number of gradient evaluations."""
    step: Number = 1.0
    """Length ``a`` of the first step, l2 norm in image units; falls to a hundredth of it on a cosine."""
    factor: Number = 0.05
    """Share by which the radius grows or shrinks in the first step; falls to 0.001 on a cosine."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.step < float("inf"):
            raise InputError(f"step must be a positive number, got {self.step!r}")
        if not LAST_FACTOR <= self.factor < 1:
            raise InputError(f"factor must lie in [{LAST_FACTOR}, 1), got {self.factor!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the smallest perturbation found that reaches the goal, brought into the budget."""
        goal, budget, straight = batch.threat.goal, batch.threat.budget, Ball("l2", 1.0)
        nearest = Nearest(batch)
        rows = nearest.begin(model)
        images, targets, found = batch.images[rows], batch.targets[rows], batch.images[rows]
        most = radii = budget.size(longest(images))
        for step in range(self.steps if len(rows) else 0):
            logits, uphill = input_gradient(model, lambda answers: goal.margin(model.task, answers, targets), found)
            reached, margin = nearest.look(model, rows, found, logits)
            factor = cosine(self.factor, LAST_FACTOR, step, self.steps)
            best, delta = nearest.distance[rows], found - images
            slope = torch.linalg.vector_norm(uphill.flatten(1), DUAL[budget.norm], dim=1)
            boundary = (
                budget.size(delta) + (2 * rounding(logits) - margin) / slope
            )  # a little beyond, or it stalls there
            radii = torch.where(
                reached,
                torch.minimum(radii * (1 - factor), best),
                torch.where(best.isfinite(), radii * (1 + factor), boundary),
            ).clamp(max=most)
            uphill = straight.steepest(unblocked(found, uphill))
            delta += uphill.mul_(cosine(self.step, self.step / 100, step, self.steps))
            found = nearest_inside(budget.norm, delta, radii).add_(images).clamp_(0, 1)
        return nearest.result()
