"""DeepFool (Moosavi-Dezfooli et al., 2016) on 2-D and 3-D images."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest, rounding
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage, Rows, Targets
from aseptic.ops.balls import Budget
from aseptic.ops.box import to_plane_in_box
from aseptic.ops.gradients import linearise
from aseptic.ops.images import per_image
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.multiclass import Avoid, Reach


@dataclass(frozen=True, kw_only=True)
class DeepFool(EvasionAttack):
    r"""Repeat :math:`r \leftarrow r + d` with the smallest :math:`d` with :math:`m(x') + d \cdot \nabla m(x') = 0`.

    The margin :math:`m` is linearised at :math:`x' = x + (1 + \eta)\, r`, once for each class that would do; the
    smallest of these steps is taken, until the goal is reached.

    Paper: https://arxiv.org/abs/1511.04599, algorithm 2 and section 3.3 (linf).
    Departs from it: any goal; each step is the smallest one that stays in [0, 1], which matters where much of an image
    is black; ``trims`` more passes shorten what was found. For goals that need several outputs at once (another class
    before all, every finding) the hardest of them is linearised.
    Blind to: boundaries that bend towards the image, where it overestimates the distance; masked gradients.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    steps: int = 50
    """Most linearisations."""
    overshoot: Number = 0.02
    """Share ``η`` of the perturbation that is added to it, so that it ends beyond the boundary."""
    candidates: int = 10
    """Most classes that are considered, the likeliest first, the true one among them."""
    trims: int = 4
    """Forward passes for a search between the image and what was found; 0 leaves it as it is."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 <= self.overshoot < float("inf"):
            raise InputError(f"overshoot must be a number of at least 0, got {self.overshoot!r}")
        if self.trims < 0:
            raise InputError(f"trims must be a whole number of at least 0, got {self.trims!r}")
        if self.candidates < 2:  # noqa: PLR2004 - the true class and another
            raise InputError(f"candidates must be a whole number of at least 2, got {self.candidates!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the first perturbation that reaches the goal, brought into the budget."""
        nearest = Nearest(batch)
        first = self._search(model, nearest)
        rows = (nearest.distance.isfinite() & (nearest.distance > 0)).nonzero()[:, 0]
        if self.trims and len(rows):
            self._shorten(model, nearest, rows, first[rows])
        return nearest.result()

    def _search(self, model: Counted, nearest: Nearest) -> PerImage:
        """Step to the linearised boundary until the goal is reached; return the margins of the images as they are."""
        images, targets, budget = nearest.images, nearest.targets, nearest.threat.budget
        rows, found, total = torch.arange(len(images), device=images.device), images, torch.zeros_like(images)
        for step in range(self.steps):
            ways = partial(_ways, nearest.threat.goal, model.task, targets)
            logits, parts, gradient = linearise(model, ways, found)
            reached, margin = nearest.look(model, rows, found, logits)
            if step == 0:
                first, chosen = margin, parts.topk(min(self.candidates, max(2, parts.shape[1])) - 1).indices
            if bool(reached.all()):
                return first
            enough = 2 * rounding(logits)[:, None]
            total = total + _smallest(budget, found, parts - enough, chosen, gradient)
            left = ~reached
            rows, images, targets, total, chosen = (t[left] for t in (rows, images, targets, total, chosen))
            found = (images + (1 + self.overshoot) * total).clamp_(0, 1)
        with torch.no_grad():
            nearest.look(model, rows, found, model(found.clone()))
        return first

    def _shorten(self, model: Counted, nearest: Nearest, rows: Rows, below: PerImage) -> None:
        """Look for the boundary on the way from each image to what was found, by false position."""
        images, way, above = nearest.images[rows], nearest.best[rows] - nearest.images[rows], nearest.margin[rows]
        low, high = torch.zeros_like(below), torch.ones_like(below)
        for _ in range(self.trims):
            share = low + (high - low) * (below / (below - above)).clamp(0.01, 0.99)
            found = (images + per_image(share, images) * way).clamp_(0, 1)
            with torch.no_grad():
                reached, margin = nearest.look(model, rows, found, model(found.clone()))
            low, high = torch.where(reached, low, share), torch.where(reached, share, high)
            below, above = torch.where(reached, below / 2, margin), torch.where(reached, margin, above / 2)


def _ways(goal: Goal, task: Task, targets: Targets, logits: Logits) -> Tensor:
    """Return the margins of the goals of which any one is enough, ``[batch, way]``; -inf where one is none."""
    if not isinstance(goal, Avoid):
        return goal.margin(task, logits, targets)[:, None]
    others = [Reach(name=name) for name in task.classes]
    parts = [other.margin(task, logits, targets).where(other.applies(task, targets), -torch.inf) for other in others]
    return torch.stack(parts, 1)


def _smallest(
    budget: Budget, images: Images, parts: Tensor, chosen: Tensor, gradient: Callable[[Tensor], Images]
) -> Images:
    """Return the smallest of the steps that bring one of the chosen parts to 0 each, to first order."""
    best, size = torch.zeros_like(images), torch.full_like(parts[:, 0], torch.inf)
    for columns in chosen.T:
        step = to_plane_in_box(images, gradient(columns), parts.gather(1, columns[:, None])[:, 0], budget.norm)
        longer = budget.size(step)
        best = torch.where(per_image(longer < size, images), step, best)
        size = torch.minimum(longer, size)
    return best
