"""Ascent inside one window of each image: the loop that attacks with patches share."""

from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted
from aseptic.attacks.climbing import Objective
from aseptic.core.types import Flags, Images, Logits, Number, PerImage, Targets
from aseptic.ops.gradients import input_gradient
from aseptic.ops.windows import cut, put
from aseptic.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class Filling:
    """How a window is filled."""

    steps: int
    """Number of gradient evaluations."""
    step: Number
    """Length of one step of the sign, in image units."""
    climbed: Objective
    """What is climbed."""

    def run(self, model: Counted, batch: Batch, index: Tensor) -> tuple[Images, PerImage, Flags]:
        """Climb in one window of each image, from the image itself.

        Returns the first iterate that reaches the goal or else the highest, its height, and whether it reaches it.

        Args:
            model: What is attacked.
            batch: What to attack, and within which threat.
            index: Where the window of each image lies, as `aseptic.ops.windows.window_index` has it.
        """
        goal, task = batch.threat.goal, model.task
        result, best = batch.images.clone(), torch.full_like(batch.images.flatten(1)[:, 0], -torch.inf)
        fallen = torch.zeros_like(best, dtype=torch.bool)
        rows, found = torch.arange(len(result), device=result.device), batch.images
        for step in range(self.steps + 1):
            if len(rows) == 0:
                break
            targets = batch.targets[rows]
            if step < self.steps:
                logits, gradient = input_gradient(model, partial(self._height, task, targets), found)
            else:
                with torch.no_grad():
                    logits, gradient = model(found), torch.zeros_like(found)
            fell = goal.margin(task, logits, targets) > 0
            height = self.climbed(task, logits, targets)
            better = fell | (height > best[rows])
            result[rows[better]], best[rows[better]] = found[better], height[better]
            fallen[rows[fell]] = True
            rows, found, gradient = rows[~fell], found[~fell], gradient[~fell]
            inside = index[rows]
            moved = cut(found, inside) + self.step * cut(gradient, inside).sign()
            found = put(found, inside, moved.clamp(0, 1))
        return result, best, fallen

    def _height(self, task: Task, targets: Targets, logits: Logits) -> PerImage:
        return self.climbed(task, logits, targets)
