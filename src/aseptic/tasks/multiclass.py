"""One class out of several: cross-entropy, argmax, and the goals avoid and reach."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Logits, PerImage, Targets
from aseptic.tasks.base import Goal, Task


def _columns(targets: Targets) -> Tensor:
    return targets.long()[:, None]


def best_other(logits: Logits, targets: Targets) -> Float[Tensor, "batch *place"]:
    """Return the largest logit of a class that is not the target's, for each image or place."""
    return logits.scatter(1, _columns(targets), -torch.inf).amax(1)


def own(logits: Logits, targets: Targets) -> Float[Tensor, "batch *place"]:
    """Return the logit of the target's class, for each image or place."""
    return logits.gather(1, _columns(targets))[:, 0]


@dataclass(frozen=True, kw_only=True)
class MultiClass(Task):
    """Exactly one class is true: softmax, cross-entropy, argmax."""

    name: ClassVar[str] = "multiclass"

    def loss(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the cross-entropy of each image, in nats."""
        return F.cross_entropy(logits, targets.long(), reduction="none")

    def scores(self, logits: Logits) -> Tensor:
        """Return the softmax."""
        return logits.softmax(1)

    def decide(self, logits: Logits) -> Tensor:
        """Return the class with the largest logit after the operating point."""
        return self.shift(logits).argmax(1)

    def correct(self, logits: Logits, targets: Targets) -> Flags:
        """Return whether the decision is the target."""
        return self.decide(logits) == targets

    def check_targets(self, targets: Targets) -> None:
        """Raise `InputError` unless every target is a class number."""
        if targets.ndim != 1 or targets.is_floating_point():
            raise InputError(f"multiclass targets must be whole numbers [N], got {targets.dtype} {list(targets.shape)}")
        if len(targets) and not (int(targets.min()) >= 0 and int(targets.max()) < len(self.classes)):
            raise InputError(
                f"targets must lie in 0..{len(self.classes) - 1}, got {int(targets.min())}..{int(targets.max())}"
            )


@dataclass(frozen=True, kw_only=True)
class Avoid(Goal):
    """Any class but the true one."""

    task: ClassVar[str] = "multiclass"

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the best other logit minus the true one."""
        shifted = task.shift(logits)
        return best_other(shifted, targets) - own(shifted, targets)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the cross-entropy of the true class."""
        return task.loss(task.shift(logits), targets)

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Every image can be driven away from its class."""
        del task
        return torch.ones_like(targets, dtype=torch.bool)

    def describe(self) -> str:
        """Return the goal in words."""
        return "avoid the true class"


@dataclass(frozen=True, kw_only=True)
class Reach(Goal):
    """One chosen class, whatever the true one."""

    task: ClassVar[str] = "multiclass"

    name: str
    """Class that the attacker wants."""

    def _wanted(self, task: Task, targets: Targets) -> Tensor:
        return torch.full_like(targets, task.output(self.name))

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the wanted logit minus the best other."""
        shifted, wanted = task.shift(logits), self._wanted(task, targets)
        return own(shifted, wanted) - best_other(shifted, wanted)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return minus the cross-entropy of the wanted class."""
        return -task.loss(task.shift(logits), self._wanted(task, targets))

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that are not already of the wanted class."""
        return targets != task.output(self.name)

    def describe(self) -> str:
        """Return the goal in words."""
        return f"reach {self.name!r}"
