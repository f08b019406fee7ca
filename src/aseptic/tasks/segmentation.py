"""A class for every place of an image or volume: cross-entropy and Dice, argmax, and the goals on structures."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Logits, Number, PerImage, Places, Targets
from aseptic.metrics.overlap import dice
from aseptic.tasks.base import Goal, Task

SMOOTH = 1e-5
"""Added to both sides of the soft Dice, in places, so that an absent structure that is not predicted has Dice 1."""
AGREES = 0.5
"""Mean Dice of the structures from which a segmentation counts as right."""
PerPlace = Float[Tensor, "batch *place"]
"""One number for each place of each image."""


@dataclass(frozen=True, kw_only=True)
class Segmentation(Task):
    """Exactly one class is true at every place; the first is the background, the others are structures."""

    name: ClassVar[str] = "segmentation"
    dense: ClassVar[bool] = True

    def loss(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the mean cross-entropy of the places, in nats, plus 1 minus the mean soft Dice of the structures."""
        entropy = F.cross_entropy(logits, targets.long(), reduction="none").flatten(1).mean(1)
        return entropy + 1 - soft_dice(logits, targets).mean(1)

    def scores(self, logits: Logits) -> Tensor:
        """Return the softmax at every place."""
        return logits.softmax(1)

    def decide(self, logits: Logits) -> Tensor:
        """Return the class with the largest logit after the operating point, at every place."""
        return self.shift(logits).argmax(1)

    def agreement(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the mean Dice of the structures that are there or were decided for; NaN where there are none.

        A structure that was invented counts as 0, as one that was missed does.
        """
        return dice(self.decide(logits), targets, len(self.classes))[:, 1:].nanmean(1)

    def correct(self, logits: Logits, targets: Targets) -> Flags:
        """Return whether the mean Dice is at least 0.5, or there is nothing and nothing was decided for."""
        found = self.agreement(logits, targets)
        return (found >= AGREES) | found.isnan()

    def check_targets(self, targets: Targets) -> None:
        """Raise `InputError` unless every place of every image has a class number."""
        if targets.ndim not in {3, 4} or targets.is_floating_point():
            raise InputError(
                f"segmentation targets must be whole numbers [N, *space] with 2 or 3 space axes, "
                f"got {targets.dtype} {[*targets.shape]}"
            )
        if targets.numel() and not (int(targets.min()) >= 0 and int(targets.max()) < len(self.classes)):
            raise InputError(
                f"targets must lie in 0..{len(self.classes) - 1}, got {int(targets.min())}..{int(targets.max())}"
            )


def soft_dice(logits: Logits, targets: Targets) -> Float[Tensor, "batch structure"]:
    """Return the Dice of the probabilities of every class but the background, smooth in the logits."""
    likely = logits.softmax(1)[:, 1:].flatten(2)
    there = torch.zeros_like(logits).scatter_(1, targets.long()[:, None], 1)[:, 1:].flatten(2)
    return (2 * (likely * there).sum(2) + SMOOTH) / (likely.sum(2) + there.sum(2) + SMOOTH)


@dataclass(frozen=True, kw_only=True)
class SegmentationGoal(Goal):
    """A goal that is reached place by place: away from a class, or toward one, in a region."""

    task: ClassVar[str] = "segmentation"
    toward: ClassVar[bool] = False
    """Whether the places must take the class of `labels`, instead of losing it."""

    @abstractmethod
    def region(self, task: Task, targets: Targets) -> Places:
        """Return the places that the goal is about."""

    @abstractmethod
    def labels(self, task: Task, targets: Targets) -> Int[Tensor, "batch *place"]:
        """Return the class that every place of the region must take or lose."""

    def margins(self, task: Task, logits: Logits, targets: Targets) -> PerPlace:
        """Return numbers that are positive exactly where a place of the region is won, in logits; -inf elsewhere."""
        shifted, columns = task.shift(logits), self.labels(task, targets)[:, None]
        own = shifted.gather(1, columns)[:, 0]
        other = shifted.scatter(1, columns, -torch.inf).amax(1)
        won = own - other if self.toward else other - own
        return won.where(self.region(task, targets), -torch.inf)

    def entropies(self, task: Task, logits: Logits, targets: Targets) -> PerPlace:
        """Return the cross-entropy of `labels` at every place, in nats, with the sign that makes more of it better."""
        entropy = F.cross_entropy(task.shift(logits), self.labels(task, targets), reduction="none")
        return (-entropy if self.toward else entropy).where(self.region(task, targets), 0)


@dataclass(frozen=True, kw_only=True)
class StructureGoal(SegmentationGoal):
    """A goal about the places of one structure, reached when more than a share of them is won."""

    name: str
    """Structure that the goal is about."""
    share: Number = 0.9
    """Share of the structure's places of which more must be won."""

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 <= self.share < 1:
            raise InputError(f"share must lie in [0, 1), got {self.share!r}")

    def region(self, task: Task, targets: Targets) -> Places:
        """Return the places of the structure."""
        return targets == task.output(self.name)

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that have the structure."""
        return self.region(task, targets).flatten(1).any(1)

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the margin of the place that decides whether the share is won, in logits; -inf without the structure.

        Of ``n`` places sorted by their margins, it is number ``floor(share n) + 1``.
        """
        ordered = self.margins(task, logits, targets).flatten(1).sort(dim=1, descending=True).values
        places = self.region(task, targets).flatten(1).sum(1, keepdim=True)
        needed = (self.share * places.double() + 1e-9).floor().long()
        return ordered.gather(1, needed)[:, 0]


@dataclass(frozen=True, kw_only=True)
class Erase(StructureGoal):
    """A structure that is there is no longer predicted."""

    def labels(self, task: Task, targets: Targets) -> Int[Tensor, "batch *place"]:
        """Return the structure, everywhere."""
        return torch.full_like(targets, task.output(self.name), dtype=torch.long)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability of the structure's absence, averaged over its places."""
        column, shifted = task.output(self.name), task.shift(logits)
        others = torch.cat([shifted[:, :column], shifted[:, column + 1 :]], 1)
        absent = others.logsumexp(1) - shifted.logsumexp(1)
        return _mean(absent, self.region(task, targets))

    def describe(self) -> str:
        """Return the goal in words."""
        return f"erase more than {self.share:g} of {self.name!r}"


@dataclass(frozen=True, kw_only=True)
class Relabel(StructureGoal):
    """A structure that is there is predicted as another one."""

    toward: ClassVar[bool] = True

    to: str
    """Structure, or background, that it is to be taken for."""

    def __post_init__(self) -> None:
        """Check the share and that there is something to change."""
        super().__post_init__()
        if self.to == self.name:
            raise InputError(f"to must be another class than {self.name!r}")

    def labels(self, task: Task, targets: Targets) -> Int[Tensor, "batch *place"]:
        """Return the wanted structure, everywhere."""
        return torch.full_like(targets, task.output(self.to), dtype=torch.long)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability of the wanted structure, averaged over the places of the one that is there."""
        return _mean(self.entropies(task, logits, targets), self.region(task, targets))

    def describe(self) -> str:
        """Return the goal in words."""
        return f"relabel more than {self.share:g} of {self.name!r} as {self.to!r}"


@dataclass(frozen=True, kw_only=True)
class Damage(SegmentationGoal):
    """The segmentation as a whole becomes useless."""

    below: Number = AGREES
    """Mean Dice of the structures below which it is."""

    def __post_init__(self) -> None:
        """Check the Dice."""
        if not 0 < self.below <= 1:
            raise InputError(f"below must lie in (0, 1], got {self.below!r}")

    def region(self, task: Task, targets: Targets) -> Places:
        """Return every place."""
        del task
        return torch.ones_like(targets, dtype=torch.bool)

    def labels(self, task: Task, targets: Targets) -> Int[Tensor, "batch *place"]:
        """Return the true classes."""
        del task
        return targets.long()

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return how far the mean Dice lies below the limit, in Dice; its gradient is that of the soft Dice."""
        shifted = task.shift(logits)
        found = dice(shifted.argmax(1), targets, len(task.classes))[:, 1:].nanmean(1)
        there = torch.zeros_like(shifted.flatten(2)[:, :, 0]).scatter_(1, targets.long().flatten(1), 1)[:, 1:]
        smooth = (soft_dice(shifted, targets) * there).sum(1) / there.sum(1).clamp(min=1)
        return self.below - found.nan_to_num(1.0) + (smooth.detach() - smooth)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the loss of the task: cross-entropy and soft Dice."""
        return task.loss(task.shift(logits), targets)

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that have a structure."""
        del task
        return (targets > 0).flatten(1).any(1)

    def describe(self) -> str:
        """Return the goal in words."""
        return f"mean Dice below {self.below:g}"


def _mean(values: PerPlace, region: Places) -> PerImage:
    """Return the mean over the region of each image; 0 where it is empty."""
    return (values * region).flatten(1).sum(1) / region.flatten(1).sum(1).clamp(min=1)
