"""The stochastic variance reduced ensemble method (Xiong et al., 2022) on 2-D and 3-D images."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.attacks.base import Counted
from aseptic.attacks.momentum import MomentumAttack, Walk, unit_mean
from aseptic.attacks.surrogates import members_of
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number, Rows
from aseptic.ops.balls import ascend
from aseptic.ops.gradients import input_gradient


@dataclass(frozen=True, kw_only=True)
class SVRE(MomentumAttack):
    r"""Momentum iteration along :math:`\nabla J_k(\tilde x) - (\nabla J_k(x') - \nabla J(x'))`, summed in inner walks.

    The inner walk begins at the outer iterate; each of its steps asks one random member ``k`` of the ensemble.

    Paper: https://arxiv.org/abs/2111.10752, algorithm 1 (SVRE-MI-FGSM; 16 inner steps for four members).
    Departs from it: any goal; also l2 and l1; each image draws its own members; the members' gradients at the outer
    iterate are taken once for all inner steps. The members are those of `aseptic.attacks.surrogates.ensemble`; a model
    that is no ensemble is its own only member: the correction is zero, and the inner walk is plain momentum iteration.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    inner: int = 16
    """Number of inner steps in each outer one; the paper's is four for each member."""
    inner_step: Number = 0.1
    """Length of one inner step, as a fraction of the radius."""
    inner_decay: Number = 1.0
    """Factor of the gradient accumulated in the inner walk; 0 forgets it."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        if self.inner < 1:
            raise InputError(f"inner must be a whole number of at least 1, got {self.inner!r}")
        if not (math.isfinite(self.inner_step) and self.inner_step > 0):
            raise InputError(f"inner_step must be a positive fraction of the radius, got {self.inner_step!r}")
        if not (math.isfinite(self.inner_decay) and self.inner_decay >= 0):
            raise InputError(f"inner_decay must be a number of at least 0, got {self.inner_decay!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return what the inner walk gathers."""
        members = [Counted(member) for member in members_of(walk.model.model)]
        everyone = torch.arange(len(walk.batch.images), device=walk.batch.images.device)
        mean = walk.slope(walk.found)
        own = [mean] if len(members) == 1 else [_slope(walk, one, walk.found, everyone) for one in members]
        drawn = [torch.randint(len(members), (self.inner,), generator=rng) for rng in walk.batch.rng]
        picks = torch.stack(drawn, 1).to(walk.batch.images.device)
        found, gathered = walk.found, torch.zeros_like(mean)
        for count, pick in enumerate(picks):
            reduced = mean.clone()  # in the first inner step the two gradients of the member cancel
            for place, member in enumerate(members if count else ()):
                rows = (pick == place).nonzero()[:, 0]
                if len(rows):
                    reduced[rows] = _slope(walk, member, found, rows) - (own[place] - mean)[rows]
            gathered = self.inner_decay * gathered + unit_mean(reduced)
            found = ascend(walk.batch.threat.budget, walk.batch.images, found, gathered, self.inner_step)
        walk.model.forwards += sum(member.forwards for member in members)
        walk.model.backwards += sum(member.backwards for member in members)
        return gathered


def _slope(walk: Walk, member: Counted, found: Images, rows: Rows) -> Tensor:
    """Return the gradient of the objective of one member, for some of the images."""
    targets, goal = walk.batch.targets[rows], walk.batch.threat.goal
    return input_gradient(member, lambda logits: goal.objective(member.task, logits, targets), found[rows])[1]
