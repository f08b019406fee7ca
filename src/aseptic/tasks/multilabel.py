"""Several findings, each true, false or unknown: sigmoid, binary cross-entropy, and the goals on findings."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Logits, PerImage, Targets
from aseptic.tasks.base import Goal, Task


@dataclass(frozen=True, kw_only=True)
class MultiLabel(Task):
    """Every finding is decided for itself; NaN targets are unknown and never count."""

    name: ClassVar[str] = "multilabel"

    def loss(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the binary cross-entropy, in nats, averaged over the findings that are known."""
        known = ~targets.isnan()
        each = F.binary_cross_entropy_with_logits(logits, targets.nan_to_num().to(logits), reduction="none")
        return (each * known).sum(1) / known.sum(1).clamp(min=1)

    def scores(self, logits: Logits) -> Tensor:
        """Return the sigmoid of every finding."""
        return logits.sigmoid()

    def decide(self, logits: Logits) -> Tensor:
        """Return 1 for every finding above its operating point."""
        return (self.shift(logits) > 0).to(logits)

    def correct(self, logits: Logits, targets: Targets) -> Flags:
        """Return whether every known finding is decided rightly."""
        return ((self.decide(logits) == targets) | targets.isnan()).all(1)

    def check_targets(self, targets: Targets) -> None:
        """Raise `InputError` unless targets are [N, K] in {0, 1, NaN}."""
        if targets.ndim != 2 or not targets.is_floating_point() or targets.shape[1] != len(self.classes):  # noqa: PLR2004
            raise InputError(
                f"multilabel targets must be numbers [N, {len(self.classes)}], got {targets.dtype} {[*targets.shape]}"
            )
        if not ((targets == 0) | (targets == 1) | targets.isnan()).all():
            raise InputError("multilabel targets must be 0, 1 or NaN (unknown)")


def _toward(task: Task, logits: Logits, column: int, sign: float) -> PerImage:
    return sign * task.shift(logits)[:, column]


@dataclass(frozen=True, kw_only=True)
class Suppress(Goal):
    """A finding that is there is no longer reported."""

    task: ClassVar[str] = "multilabel"

    name: str
    """Finding to hide."""

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return how far the finding lies below its operating point."""
        del targets
        return _toward(task, logits, task.output(self.name), -1.0)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability of the finding's absence."""
        return F.logsigmoid(self.margin(task, logits, targets))

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that have the finding."""
        return targets[:, task.output(self.name)] == 1

    def describe(self) -> str:
        """Return the goal in words."""
        return f"suppress {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class Inject(Goal):
    """A finding that is not there is reported."""

    task: ClassVar[str] = "multilabel"

    name: str
    """Finding to invent."""

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return how far the finding lies above its operating point."""
        del targets
        return _toward(task, logits, task.output(self.name), 1.0)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability of the finding."""
        return F.logsigmoid(self.margin(task, logits, targets))

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that are known to lack the finding."""
        return targets[:, task.output(self.name)] == 0

    def describe(self) -> str:
        """Return the goal in words."""
        return f"inject {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class FlipAll(Goal):
    """Every known finding is decided wrongly."""

    task: ClassVar[str] = "multilabel"

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the distance of the finding that is hardest to flip."""
        away = task.shift(logits) * (1 - 2 * targets.nan_to_num())  # a NaN factor would reach the gradient
        return away.masked_fill(targets.isnan(), torch.inf).amin(1)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the mean binary cross-entropy of the known findings."""
        return task.loss(task.shift(logits), targets)

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Every image of which something is known."""
        del task
        return (~targets.isnan()).any(1)

    def describe(self) -> str:
        """Return the goal in words."""
        return "flip every finding"
