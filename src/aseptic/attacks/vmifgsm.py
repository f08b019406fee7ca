"""Variance tuning (Wang and He, 2021) on 2-D and 3-D images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch

from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.balls import Ball


@dataclass(frozen=True, kw_only=True)
class VMIFGSM(MomentumAttack):
    r"""Momentum iteration on :math:`\nabla J(x'_t) + v_{t-1}`; ``v``: mean gradient around an iterate less its own.

    Paper: https://arxiv.org/abs/2103.15571, algorithm 1 (20 neighbours within 1.5 radii).
    Departs from it: any goal; also l2 and l1, with neighbours from the ball of that norm; after the last step no
    neighbours are looked at. Neighbours may leave [0, 1], as the authors' do.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    neighbours: int = 20
    """Number of points around each iterate whose gradients are averaged."""
    reach: Number = 1.5
    """Radius of the ball that they are drawn from, as a fraction of the budget's."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        if self.neighbours < 1:
            raise InputError(f"neighbours must be a whole number of at least 1, got {self.neighbours!r}")
        if not (math.isfinite(self.reach) and self.reach > 0):
            raise InputError(f"reach must be a positive fraction of the radius, got {self.reach!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return the gradient with the last step's correction, and find the next one."""
        gradient = walk.slope(walk.found)
        tuned = gradient + walk.variance
        if walk.left > 1:
            around = Ball(walk.batch.threat.budget.norm, self.reach * walk.batch.threat.budget.radius)
            drawn = [partial(_away, ball=around, rng=walk.batch.rng)] * self.neighbours
            walk.variance = walk.mean_slope(walk.found, drawn) - gradient
        return tuned


def _away(images: Images, *, ball: Ball, rng: Sequence[torch.Generator]) -> Images:
    """Return each image moved to a random point of the ball around it."""
    return images + torch.cat([ball.sample(one[None], own) for one, own in zip(images.detach(), rng, strict=True)])
