"""What an attacker wants of a detector: objects that vanish, change their class or appear, or a useless answer."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Logits, Number, PerImage, Targets
from aseptic.ops.boxes import overlaps
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.detection import AGREES, MATCH, MOST, Candidates, as_detection, f1

NEAR = 0.3
"""Overlap from which a candidate is pushed down with those that cover an object: it may come to cover it."""
LEAST = -50.0
"""Logit below which there is nothing to gain; a place that has no candidate counts as much."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What a goal looks at."""

    logits: Candidates
    """With the operating point at zero."""
    kept: Bool[Tensor, "batch label candidate"]
    """Which candidates are no doubles of others."""
    shared: Float[Tensor, "batch candidate object"]
    """Overlap of every candidate with every object; 0 with what is none."""


@dataclass(frozen=True, kw_only=True)
class DetectionGoal(Goal):
    """A goal about objects in boxes."""

    task: ClassVar[str] = "detection"

    @abstractmethod
    def wanted(self, task: Task, targets: Targets) -> Bool[Tensor, "batch object"]:
        """Return the objects that the goal is about."""

    @abstractmethod
    def margins(self, task: Task, logits: Logits, targets: Targets) -> Candidates:
        """Return how far each candidate is where the goal wants it, for each class, in logits; +inf: unconcerned."""

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Only images that have such an object."""
        return self.wanted(task, targets).any(1)

    def objects(self, task: Task, targets: Targets, name: str | None) -> Bool[Tensor, "batch object"]:
        """Return the objects of one class, or of all."""
        labels = targets[..., 0]
        return labels >= 0 if name is None else labels == task.output(name)

    def seen(self, task: Task, logits: Logits, targets: Targets) -> Seen:
        """Return the candidates of a detector."""
        asked = as_detection(task)
        shifted, boxes = asked.split(logits)
        shared = overlaps(boxes.detach(), targets[..., 1:].to(boxes)) * (targets[:, None, :, 0] >= 0)
        return Seen(logits=shifted, kept=asked.kept(logits), shared=shared)


@dataclass(frozen=True, kw_only=True)
class Vanish(DetectionGoal):
    """No object, or none of one class, is covered by a detection of whatever class."""

    name: str | None = None
    """Class of the objects that are to vanish; None for all."""

    def wanted(self, task: Task, targets: Targets) -> Bool[Tensor, "batch object"]:
        """Return the objects that are to vanish."""
        return self.objects(task, targets, self.name)

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return minus the largest logit of what covers an object and is no double; -inf where there is no object.

        It is positive exactly where no object is detected: whether a candidate is a double does not depend on the
        threshold. +inf where no candidate covers one.
        """
        seen, wanted = self.seen(task, logits, targets), self.wanted(task, targets)
        cover = ((seen.shared >= MATCH) & wanted[:, None]).any(2)
        highest = seen.logits.masked_fill(~(seen.kept & cover[:, None]), -torch.inf).flatten(1).amax(1)
        return (-highest).where(wanted.any(1), -torch.inf)

    def margins(self, task: Task, logits: Logits, targets: Targets) -> Candidates:
        """Return minus the logits of the candidates near the objects."""
        seen, wanted = self.seen(task, logits, targets), self.wanted(task, targets)
        near = ((seen.shared >= NEAR) & wanted[:, None]).any(2)
        return (-seen.logits).masked_fill(~near[:, None], torch.inf)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability that no candidate near an object is one, over the number of objects."""
        won = self.margins(task, logits, targets)
        return F.logsigmoid(won).flatten(1).sum(1) / self.wanted(task, targets).sum(1).clamp(min=1)

    def describe(self) -> str:
        """Return the goal in words."""
        return "no object is detected" if self.name is None else f"no {self.name!r} is detected"


@dataclass(frozen=True, kw_only=True)
class Mislabel(DetectionGoal):
    """Every object of one class is detected as another one, and not as its own."""

    name: str
    """Class of the objects."""
    to: str
    """Class that they are to be taken for."""

    def __post_init__(self) -> None:
        """Check that there is something to change."""
        if self.to == self.name:
            raise InputError(f"to must be another class than {self.name!r}")

    def wanted(self, task: Task, targets: Targets) -> Bool[Tensor, "batch object"]:
        """Return the objects of the class."""
        return self.objects(task, targets, self.name)

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the margin of the object that is furthest from it; -inf where there is none.

        That of an object is the smaller of the largest logit of the wanted class that covers it, and minus that of its
        own class, doubles left out.
        """
        seen, wanted = self.seen(task, logits, targets), self.wanted(task, targets)

        def highest(name: str) -> Float[Tensor, "batch object"]:
            column = task.output(name)
            cover = (seen.shared >= MATCH) & seen.kept[:, column, :, None]
            return seen.logits[:, column, :, None].masked_fill(~cover, -torch.inf).amax(1)

        each = torch.minimum(highest(self.to), -highest(self.name)).masked_fill(~wanted, torch.inf)
        return each.amin(1).where(wanted.any(1), -torch.inf)

    def margins(self, task: Task, logits: Logits, targets: Targets) -> Candidates:
        """Return minus the logits of the own class near objects, and those wanted at each one's likeliest candidate."""
        seen, wanted = self.seen(task, logits, targets), self.wanted(task, targets)
        found = torch.full_like(seen.logits, torch.inf)
        own, other = task.output(self.name), task.output(self.to)
        near = ((seen.shared >= NEAR) & wanted[:, None]).any(2)
        found[:, own] = (-seen.logits[:, own]).where(near, torch.inf)
        chosen = (self._chosen(seen, own, other) & wanted[:, None]).any(2)
        found[:, other] = seen.logits[:, other].where(chosen, torch.inf)
        return found

    def _chosen(self, seen: Seen, own: int, other: int) -> Bool[Tensor, "batch candidate object"]:
        """Return the candidate that covers each object and is the likeliest of either class; else the nearest one."""
        likely = torch.maximum(seen.logits[:, own], seen.logits[:, other]).detach().clamp(min=LEAST)
        rank = torch.where(seen.shared >= MATCH, likely[..., None], 2 * LEAST + seen.shared)
        return torch.zeros_like(rank, dtype=torch.bool).scatter_(1, rank.argmax(1, keepdim=True), value=True)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the log-probability that each object's likeliest candidate has the wanted class, and none its own."""
        won = self.margins(task, logits, targets)
        return F.logsigmoid(won).flatten(1).sum(1) / self.wanted(task, targets).sum(1).clamp(min=1)

    def describe(self) -> str:
        """Return the goal in words."""
        return f"every {self.name!r} is detected as {self.to!r}"


@dataclass(frozen=True, kw_only=True)
class Fabricate(DetectionGoal):
    """Several objects are detected where none is."""

    count: int = 5
    """How many detections at least must cover no true object."""

    def __post_init__(self) -> None:
        """Check the number."""
        if not 1 <= self.count <= MOST:
            raise InputError(f"count must lie in 1..{MOST}, the most detections in one image; got {self.count!r}")

    def wanted(self, task: Task, targets: Targets) -> Bool[Tensor, "batch object"]:
        """Return all objects: what covers one of them is not invented."""
        return self.objects(task, targets, None)

    def applies(self, task: Task, targets: Targets) -> Flags:
        """Return that objects can be invented in every image."""
        del task
        return torch.ones_like(targets[:, 0, 0], dtype=torch.bool)

    def _best(self, task: Task, logits: Logits, targets: Targets, count: int) -> Float[Tensor, "batch best"]:
        """Return the largest logits of what covers no object and is no double; -inf where there are not as many."""
        seen = self.seen(task, logits, targets)
        free = (seen.shared < MATCH).all(2)
        ranked = seen.logits.masked_fill(~(seen.kept & free[:, None]), -torch.inf).flatten(1)
        best = ranked.topk(min(count, ranked.shape[1]), dim=1).values
        return F.pad(best, (0, count - best.shape[1]), value=-torch.inf)

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the logit of number ``count`` of the candidates that cover no object, doubles left out."""
        return self._best(task, logits, targets, self.count)[:, -1]

    def margins(self, task: Task, logits: Logits, targets: Targets) -> Candidates:
        """Return the largest logit of each candidate that covers no object; its other classes are unconcerned."""
        seen = self.seen(task, logits, targets)
        free = (seen.shared < MATCH).all(2)
        top = seen.logits == seen.logits.amax(1, keepdim=True)
        return seen.logits.masked_fill(~(top & free[:, None]), torch.inf)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the mean log-probability of twice as many of the likeliest places as are needed, plus that of all.

        Those are the nearest to being objects; but an attacker who may only change a part of the image must be led
        to what lies there.
        """
        best = self._best(task, logits, targets, min(2 * self.count, MOST))
        every = self.margins(task, logits, targets)
        places = every.isfinite().flatten(1).sum(1).clamp(min=1)
        return F.logsigmoid(best.clamp(min=LEAST)).mean(1) + F.logsigmoid(every).flatten(1).sum(1) / places

    def describe(self) -> str:
        """Return the goal in words."""
        return f"at least {self.count} objects are detected where none is"


@dataclass(frozen=True, kw_only=True)
class Disrupt(DetectionGoal):
    """The detections as a whole become useless."""

    below: Number = AGREES
    """F1 of the objects below which they are."""

    def __post_init__(self) -> None:
        """Check the F1."""
        if not 0 < self.below <= 1:
            raise InputError(f"below must lie in (0, 1], got {self.below!r}")

    def wanted(self, task: Task, targets: Targets) -> Bool[Tensor, "batch object"]:
        """Return all objects."""
        return self.objects(task, targets, None)

    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return how far the F1 lies below the limit; its gradient is that of the objective."""
        found = f1(task.decide(logits.detach()), targets).nan_to_num(1.0)
        smooth = self.objective(task, logits, targets)
        return self.below - found + (smooth - smooth.detach())

    def margins(self, task: Task, logits: Logits, targets: Targets) -> Candidates:
        """Return minus the logits of what covers an object of its class, and those of the others as they are."""
        seen, labels = self.seen(task, logits, targets), targets[..., 0]
        own = torch.stack([labels == column for column in range(seen.logits.shape[1])], 1)
        right = ((seen.shared >= MATCH)[:, None] & own[:, :, None]).any(3)
        return torch.where(right, -seen.logits, seen.logits)

    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the loss of the task: focal, and what the boxes lack."""
        return task.loss(task.shift(logits), targets)

    def describe(self) -> str:
        """Return the goal in words."""
        return f"F1 of the objects below {self.below:g}"
