"""Projected steepest ascent inside a budget: the loop that the iterative sign methods share."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, Threat
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage, Targets
from aseptic.ops.balls import ascend
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import take
from aseptic.tasks.base import Task

Objective = Callable[[Task, Logits, Targets], PerImage]
"""Task, logits and targets to one number for each image."""
LOSSES = ("objective", "margin")
"""What can be climbed."""
LOOK_EVERY = {"cpu": 1}
"""Steps between two looks at which images have fallen, by device; each look makes an accelerator wait for the host."""
ELSEWHERE = 4
"""The same on every other device."""


def check_steps(steps: int, step: Number) -> None:
    """Raise `InputError` where the number of steps or their length has no meaning."""
    if steps < 1:
        raise InputError(f"steps must be a whole number of at least 1, got {steps!r}")
    if not (math.isfinite(step) and step > 0):
        raise InputError(f"step must be a positive fraction of the radius, got {step!r}")


def check_confidence(confidence: Number) -> None:
    """Raise `InputError` unless the confidence is a margin past the boundary."""
    if not (math.isfinite(confidence) and confidence >= 0):
        raise InputError(f"confidence must be a number of at least 0, got {confidence!r}")


@dataclass(frozen=True, kw_only=True)
class Climb:
    """How a search goes uphill; all starts of all images climb in one batch."""

    steps: int
    """Number of gradient evaluations."""
    step: Number
    """Length of one step, as a fraction of the radius."""
    loss: str = "objective"
    """What is climbed: the goal's ``objective`` or its ``margin``."""
    confidence: Number | None = 0.0
    """Margin, in logits, above which an image is left alone with all its starts; None: take every step."""
    climbs: Callable[[int], Objective] | None = None
    """What is climbed in step 1, 2 and so on, where that is neither."""

    def run(self, model: Counted, batch: Batch, starts: Sequence[Images]) -> Images:
        """Return one result for each image, the best of its starts.

        With a confidence that is the iterate with the largest margin, or the last one where none reached the goal;
        without, the last one.

        Args:
            model: What is attacked.
            batch: What to attack, and within which threat.
            starts: Where to begin, inside the budget and [0, 1]: a version of every image for each restart.
        """
        restarts, found, threat = len(starts), torch.cat(list(starts)), batch.threat
        images, targets = batch.images, batch.targets
        if restarts > 1:
            images, targets = (part.repeat(restarts, *(1,) * (part.ndim - 1)) for part in (images, targets))
        if self.confidence is not None:
            return self._until_reached(model, images, targets, threat, found, restarts, self.confidence)
        for count in range(1, self.steps + 1):
            _, gradient = self._uphill(model, targets, threat, found, count)
            found = ascend(threat.budget, images, found, gradient, self.step)
            del gradient  # the next passes need the memory
        return found if restarts == 1 else _best(found, _margins(model, targets, threat, found), restarts)

    def _uphill(
        self, model: Counted, targets: Targets, threat: Threat, found: Images, count: int
    ) -> tuple[Logits, Images]:
        climbed: Objective = threat.goal.margin if self.loss == "margin" else threat.goal.objective
        if self.climbs is not None:
            climbed = self.climbs(count)
        return input_gradient(model, lambda logits: climbed(model.task, logits, targets), found)

    def _until_reached(  # noqa: PLR0913, PLR0917 - what `run` was given
        self,
        model: Counted,
        images: Images,
        targets: Targets,
        threat: Threat,
        found: Images,
        restarts: int,
        confidence: Number,
    ) -> Tensor:
        """Climb with the images that have not fallen, and return one result for all the starts of each."""
        kept, rows = found, torch.arange(len(found), device=images.device)  # rows are those of the starts
        score = torch.zeros_like(rows, dtype=images.dtype)
        fallen = torch.zeros_like(rows, dtype=torch.bool)
        look_every = LOOK_EVERY.get(images.device.type, ELSEWHERE)
        for count in range(1, self.steps + 1):
            logits, gradient = self._uphill(model, targets, threat, found, count)
            reached = threat.goal.margin(model.task, logits, targets)
            take(kept, reached > score[rows], found, rows)
            score[rows] = torch.maximum(reached, score[rows])
            fallen |= reached > confidence
            if restarts > 1:
                fallen = fallen.reshape(restarts, -1).any(0).repeat(restarts)
            if count % look_every == 0 and bool(fallen.any()):
                rows, images, targets, found, gradient, fallen = (
                    part[~fallen] for part in (rows, images, targets, found, gradient, fallen)
                )
                if len(rows) == 0:
                    break
            moved = ascend(threat.budget, images, found, gradient, self.step)
            take(moved, fallen, found)
            found = moved
            del gradient, moved  # the next passes need the memory
        take(kept, score[rows] <= 0, found, rows)
        if restarts == 1:
            return kept
        if len(rows):
            score[rows] = torch.where(score[rows] > 0, score[rows], _margins(model, targets, threat, found))
        return _best(kept, score, restarts)


def _margins(model: Counted, targets: Targets, threat: Threat, found: Images) -> PerImage:
    """Return the margins, for a choice among restarts."""
    with torch.no_grad():
        return threat.goal.margin(model.task, model(found.clone()), targets)


def _best(found: Images, margin: PerImage, restarts: int) -> Tensor:
    """Return the version of each image that has the largest margin among its restarts."""
    chosen = margin.reshape(restarts, -1).argmax(0)
    rows = torch.arange(len(chosen), device=found.device)
    return found[chosen * len(chosen) + rows]
