"""ALMA prox (Rony et al., 2023): the smallest linf change of an image or volume that changes its segmentation."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest
from aseptic.attacks.places import place_goal
from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, Logits, Number, PerImage, Places
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image
from aseptic.ops.proximal import shrink_linf
from aseptic.tasks.segmentation import PerPlace

MEMORY = 0.8
"""Of multipliers and of squared gradients, from step to step."""
CHECK = 10
"""Steps between two looks at whether a broken constraint got better."""
BETTER = 0.95
"""Share of its former value below which it did."""
STRICTER = 2.0
"""Factor on the penalty of a constraint that did not."""
MULTIPLIERS, PENALTIES = (1e-6, 1.0), (0.01, 1e4)
"""Least and largest; multipliers begin at the largest, penalties at the least."""
SLOWER = 0.1
"""Share of the first step that the last one is."""
WEIGHTS, CHANGE = (0.1, 1.0), 0.02
"""Least and largest weight of all constraints, and by how much it changes in a step; it begins at the largest."""


@dataclass(frozen=True, kw_only=True)
class ALMAProx(EvasionAttack):
    r"""Minimise :math:`\lVert \delta \rVert_\infty` with one constraint for each place, its margin above 0.

    The constraints become penalties with multipliers of their own (an augmented Lagrangian); the step is proximal:
    against their gradient, then towards a smaller norm inside [0, 1], in a metric of averaged squared gradients. Only
    those places count that are easiest to win: all at first, the share that the goal needs in the end.

    Paper: https://arxiv.org/abs/2206.07179, section 4, algorithm 1.
    Departs from it: any goal on segmentations; margins are divided by their mean size in the original image instead
    of by a difference of logits, which needs three classes; the proximal point is exact, by sorting.
    Blind to: masked gradients; boundaries farther away than its steps reach; with
    `aseptic.tasks.segmentation.Damage`, how many places are enough, which ``share`` says instead.
    """

    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)
    norms: ClassVar[tuple[str, ...]] = ("linf",)

    steps: int = 500
    """Number of gradient evaluations."""
    step: Number = 0.001
    """Length of the first step, in image units; falls to a tenth of it. All steps together are 0.39 of their number."""
    share: Number = 0.99
    """Share of the places that must be won, where the goal does not name one."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.step < math.inf:
            raise InputError(f"step must be a positive number, got {self.step!r}")
        if not 0 < self.share <= 1:
            raise InputError(f"share must lie in (0, 1], got {self.share!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the smallest perturbation found that reaches the goal, brought into the budget."""
        goal, nearest = place_goal(batch.threat), Nearest(batch)
        rows = nearest.begin(model)
        if not len(rows):
            return nearest.result()
        images, targets = batch.images[rows], batch.targets[rows]
        hold = _Constraints(goal.region(model.task, targets), float(getattr(goal, "share", self.share)))
        found, squares = images, torch.zeros_like(images)
        for step in range(self.steps):
            late = step / self.steps

            def penalty(logits: Logits, late: float = late) -> PerImage:
                return hold.penalty(goal.margins(model.task, logits, targets), late)

            logits, downhill = input_gradient(model, penalty, found)
            reached, _ = nearest.look(model, rows, found, logits)
            hold.update(step, reached)
            squares = squares.lerp(downhill * downhill, 1 - MEMORY)
            metric = (squares / (1 - MEMORY ** (step + 1))).sqrt()
            least = torch.finfo(metric.dtype).tiny ** 0.5 + 1e-6 * metric.flatten(1).amax(1)
            metric = torch.maximum(metric, per_image(least, metric))
            length = self.step * SLOWER**late
            wanted = found - images - length * downhill / metric
            found = (images + shrink_linf(wanted, images, metric, torch.full_like(least, length))).clamp_(0, 1)
        short = nearest.distance[rows].isinf()
        nearest.best[rows[short]] = found[short]  # as far as it came, whatever became of the margin
        return nearest.result()


class _Constraints:
    """What is still missing at every place of a batch, and how much each place is made to matter."""

    def __init__(self, region: Places, share: float) -> None:
        """Begin with all places of the regions alike; more than ``share`` of them must be won."""
        self.region = region.flatten(1)
        self.places = self.region.sum(1, keepdim=True)
        self.needed = ((share * self.places.double() + 1e-9).floor() + 1).clamp(max=self.places)
        self.multipliers = torch.full_like(self.region, MULTIPLIERS[1], dtype=torch.float32)
        self.factors = torch.full_like(self.multipliers, PENALTIES[0])
        self.weights = torch.full_like(self.multipliers[:, 0], WEIGHTS[1])
        self.scale: Tensor | None = None
        self.missing = self.before = torch.zeros_like(self.multipliers)

    def penalty(self, margins: PerPlace, late: float) -> PerImage:
        """Return the sum of the penalties of the places that are easiest to win."""
        margins = margins.flatten(1).where(self.region, 0)
        if self.scale is None:
            self.scale = margins.detach().abs().sum(1, keepdim=True) / self.places.clamp(min=1)
        missing = -margins / self.scale.clamp(min=torch.finfo(margins.dtype).tiny)
        self.missing = missing.detach()
        kept = torch.maximum(self.needed, ((1 - late) * self.places).ceil())
        ranks = self.missing.masked_fill(~self.region, torch.inf).argsort(1).argsort(1)
        counted = _penalty(missing, self.factors, self.multipliers).where((ranks < kept) & self.region, 0)
        return self.weights * counted.sum(1)

    def update(self, step: int, reached: Flags) -> None:
        """Make the places that are still missing matter more, and the others less."""
        slope = _slope(self.missing, self.factors, self.multipliers)
        self.multipliers = self.multipliers.lerp(slope, 1 - MEMORY).clamp(*MULTIPLIERS)
        self.weights = (self.weights * torch.where(reached, 1 - CHANGE, 1 + CHANGE)).clamp(*WEIGHTS)
        if step % CHECK == 0:
            worse = (self.missing > 0) & (self.missing > BETTER * self.before)
            self.factors = torch.where(worse & (step > 0), self.factors * STRICTER, self.factors).clamp(*PENALTIES)
            self.before = self.missing


def _penalty(missing: Tensor, factors: Tensor, multipliers: Tensor) -> Tensor:
    """Return the penalty P2 of Birgin et al.: cubic where something is missing, saturating where nothing is."""
    short, more = missing.clamp(min=0), missing.clamp(max=0)
    over = multipliers * short + multipliers * factors * short**2 + factors**2 * short**3 / 6
    return over + multipliers * more / (1 - factors.clamp(min=1) * more)


def _slope(missing: Tensor, factors: Tensor, multipliers: Tensor) -> Tensor:
    """Return the derivative of the penalty by what is missing."""
    short, more = missing.clamp(min=0), missing.clamp(max=0)
    over = multipliers + 2 * multipliers * factors * short + factors**2 * short**2 / 2
    return torch.where(missing > 0, over, multipliers / (1 - factors.clamp(min=1) * more) ** 2)
