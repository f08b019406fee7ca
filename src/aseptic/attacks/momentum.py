"""Ascent with momentum: the walk that the transfer methods share; a method only says which gradient it follows."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import check_steps
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage
from aseptic.ops.balls import ascend
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image


def unit_mean(gradient: Images) -> Images:
    """Return each gradient with a mean absolute value of 1 over all its channels and positions; zero stays zero."""
    sizes = gradient.flatten(1).abs().mean(1).clamp(min=torch.finfo(gradient.dtype).tiny)
    return gradient / per_image(sizes, gradient)


@dataclass(kw_only=True)
class Walk:
    """One batch under way: what is attacked, where the search is, and what it remembers."""

    model: Counted
    """What is attacked."""
    batch: Batch
    """Images, within which threat."""
    found: Images
    """Where the search is."""
    left: int
    """Steps that are left, with the present one."""
    momentum: Images = field(init=False)
    """Gradients so far, each with a mean absolute value of 1, older ones decayed."""
    variance: Images = field(init=False)
    """What the gradient lacks of those around it (for methods that look)."""

    def __post_init__(self) -> None:
        """Begin without memory."""
        self.momentum = torch.zeros_like(self.batch.images)
        self.variance = torch.zeros_like(self.batch.images)

    def slope(self, at: Images, change: Callable[[Images], Images] | None = None) -> Images:
        """Return the gradient of the objective of the changed images, with respect to the images before the change."""

        def answers(images: Images) -> Logits:
            return self.model(images if change is None else change(images))

        _, uphill = input_gradient(answers, self._objective, at)
        return uphill

    def mean_slope(self, at: Images, changes: Sequence[Callable[[Images], Images]]) -> Images:
        """Return the mean gradient over several changes, one pass after the other."""
        total = torch.zeros_like(at)
        for change in changes:
            total += self.slope(at, change)
        return total / len(changes)

    def ahead(self, fraction: Number) -> Images:
        """Return where the momentum leads: a step of this fraction of the radius per mean gradient.

        The length of a gradient is that of an image of ones, so that in linf it is the step as it is.
        """
        budget = self.batch.threat.budget
        whole = float(budget.size(torch.ones_like(self.batch.images[:1])))
        return self.found + self.momentum * (fraction * budget.radius / whole)

    def _objective(self, logits: Logits) -> PerImage:
        return self.batch.threat.goal.objective(self.model.task, logits, self.batch.targets)


@dataclass(frozen=True, kw_only=True)
class MomentumAttack(EvasionAttack, ABC):
    """Steps along the accumulated gradient. All steps are taken: what is sought is an image that fools other models."""

    steps: int = 10
    """Number of steps."""
    step: Number = 0.1
    """Length of one step, as a fraction of the radius; the papers' is 1 / steps."""
    decay: Number = 1.0
    """Factor of the accumulated gradient in each step; 0 forgets it."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_steps(self.steps, self.step)
        if not (math.isfinite(self.decay) and self.decay >= 0):
            raise InputError(f"decay must be a number of at least 0, got {self.decay!r}")

    @abstractmethod
    def uphill(self, walk: Walk) -> Images:
        """Return the gradient that this step adds to the momentum; its length does not matter."""

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return where the images are after all steps."""
        walk = Walk(model=model, batch=batch, found=batch.begin, left=self.steps)
        while walk.left:
            walk.momentum = self.decay * walk.momentum + unit_mean(self.uphill(walk))
            walk.found = ascend(batch.threat.budget, batch.images, walk.found, walk.momentum, self.step)
            walk.left -= 1
        return walk.found
