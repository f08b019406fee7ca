"""Targeted adversarial objectness gradients (Chow et al., 2020) on detectors."""

from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch.nn import functional as F

from aseptic.attacks.ascent import Ascent
from aseptic.attacks.base import Batch
from aseptic.attacks.climbing import Objective
from aseptic.core.types import Logits, Number, PerImage, Targets
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.detection import as_detection
from aseptic.tasks.detection_goals import Fabricate, Mislabel, Vanish


@dataclass(frozen=True, kw_only=True)
class TOG(Ascent):
    r"""Repeat :math:`x' \leftarrow \Pi_{[0, 1]}(x + \Pi_B(x' - x \mp a\, u(\nabla L(x'; O))))`.

    The goal chooses the objects :math:`O` that the detection loss :math:`L` is descended to: none at all
    (`Vanish`), one at every candidate (`Fabricate`), the true ones with another label (`Mislabel`); without a choice
    (`Disrupt`) the loss of the true ones is climbed.

    Paper: https://arxiv.org/abs/2004.04320, section III; 10 steps of 2/255 within 8/255.
    Departs from it: the loss is that of the candidates' decoded boxes (`aseptic.tasks.detection.Detection.loss`),
    which every detector has; the true objects stand for the detections on the clean image; a class that is to vanish
    alone is pushed down where its objects are; also l2 and l1; images that have fallen are left alone.
    Blind to: masked gradients; in a two-stage detector, to the choice of the proposals.
    """

    tasks: ClassVar[tuple[str, ...]] = ("detection",)

    steps: int = 10
    """Number of gradient evaluations."""
    step: Number = 0.25
    """Length ``a`` of one step, as a fraction of the radius of the budget ``B``."""

    def objective(self, batch: Batch, count: int) -> Objective:
        """Return minus the loss of what the goal wants to be detected."""
        del count
        return partial(objectness, batch.threat.goal)


def objectness(goal: Goal, task: Task, logits: Logits, targets: Targets) -> PerImage:
    """Return what TOG climbs for a goal: minus the loss of the objects that the goal puts in the place of the true."""
    asked = as_detection(task)
    shifted = task.shift(logits)
    if isinstance(goal, Vanish) and goal.name is None:
        none = torch.cat([torch.full_like(targets[..., :1], -1), targets[..., 1:]], 2)
        return -task.loss(shifted, none)
    if isinstance(goal, Fabricate):
        won = goal.margins(task, logits, targets)
        return F.logsigmoid(won).flatten(1).sum(1) / won.isfinite().flatten(1).sum(1).clamp(min=1)
    if isinstance(goal, Mislabel):
        there = goal.wanted(asked, targets)
        labels = targets[..., 0].masked_fill(there, task.output(goal.to))
        return -task.loss(shifted, torch.cat([labels[..., None], targets[..., 1:]], 2))
    return goal.objective(task, logits, targets)
