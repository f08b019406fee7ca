"""Decoupled direction and norm (Rony et al., 2019) on 2-D and 3-D images."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest, cosine, longest
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.balls import unblocked
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image

LOSSES = ("objective", "margin")


@dataclass(frozen=True, kw_only=True)
class DDN(EvasionAttack):
    r"""Repeat :math:`\delta \leftarrow \epsilon\, v / \lVert v \rVert_2` with :math:`v = \delta + a\, u(\nabla J(x'))`.

    The norm :math:`\epsilon` shrinks by a factor where :math:`x + \delta` reaches the goal and grows where it does not.

    Paper: https://arxiv.org/abs/1811.09600, algorithm 1.
    Departs from it: any goal; no quantisation inside the loop; a step is not spent on values that are already at 0 or
    1; images that reach the goal as they are cost one pass.
    Blind to: masked gradients and, with ``loss="objective"``, networks so sure that the gradient is zero.
    """

    norms: ClassVar[tuple[str, ...]] = ("l2",)

    steps: int = 100
    """Number of gradient evaluations."""
    first_norm: Number = 1.0
    """Norm of the first perturbation, in image units."""
    factor: Number = 0.05
    """Share by which the norm grows or shrinks in a step."""
    loss: str = "objective"
    """What is climbed: the goal's smooth ``objective``, or its ``margin``."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.first_norm < float("inf"):
            raise InputError(f"first_norm must be a positive number, got {self.first_norm!r}")
        if not 0 < self.factor < 1:
            raise InputError(f"factor must lie in (0, 1), got {self.factor!r}")
        if self.loss not in LOSSES:
            raise InputError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the smallest perturbation found that reaches the goal, brought into the budget."""
        goal, budget, nearest = batch.threat.goal, batch.threat.budget, Nearest(batch)
        climbed = goal.margin if self.loss == "margin" else goal.objective
        rows = nearest.begin(model)
        images, targets, found = batch.images[rows], batch.targets[rows], batch.images[rows]
        most, radii = budget.size(longest(images)), images.new_full((len(rows),), self.first_norm)
        for step in range(self.steps if len(rows) else 0):
            logits, uphill = input_gradient(model, lambda answers: climbed(model.task, answers, targets), found)
            reached, _ = nearest.look(model, rows, found, logits)
            radii = torch.minimum(radii * torch.where(reached, 1 - self.factor, 1 + self.factor), most)
            direction = budget.steepest(unblocked(found, uphill))
            delta = direction.mul_(cosine(1.0, 0.01, step, self.steps)).add_(found).sub_(images)
            size = budget.size(delta).clamp(min=torch.finfo(delta.dtype).tiny)
            found = delta.mul_(per_image(radii / size, delta)).add_(images).clamp_(0, 1)
        return nearest.result()
