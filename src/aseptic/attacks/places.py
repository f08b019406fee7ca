"""What attacks on segmentations share: the goal place by place, and ascent with a weight for each place."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.ascent import Ascent
from aseptic.attacks.base import Batch, Threat
from aseptic.attacks.climbing import Objective
from aseptic.core.errors import ContractError
from aseptic.core.types import Logits, PerImage, Targets
from aseptic.tasks.base import Task
from aseptic.tasks.detection_goals import DetectionGoal
from aseptic.tasks.segmentation import PerPlace, SegmentationGoal

Weights = Callable[[Task, Logits, Targets], PerPlace]
"""Task, logits and true classes to the weight of every place."""


def place_goal(threat: Threat) -> SegmentationGoal:
    """Return the goal of the threat, which must be one on segmentations.

    Raises:
        ContractError: It is another one.
    """
    if not isinstance(threat.goal, SegmentationGoal):
        raise ContractError(f"the goal must be one on segmentations, got {type(threat.goal).__name__}")
    return threat.goal


def unwon(threat: Threat, task: Task, logits: Logits, targets: Targets) -> Tensor:
    """Return the margins of the places, or of a detector's candidates, that are not yet won; 0 elsewhere.

    Raises:
        ContractError: The goal is not one on segmentations or detections.
    """
    if isinstance(threat.goal, DetectionGoal):
        margins = threat.goal.margins(task, logits, targets)
        return margins.masked_fill(margins > 0, 0)
    goal = place_goal(threat)
    margins = goal.margins(task, logits, targets)
    waiting = (margins <= 0) & goal.region(task, targets)
    return margins.masked_fill(~waiting, 0)


@dataclass(frozen=True, kw_only=True)
class WeightedPGD(Ascent):
    """Ascent on the cross-entropy of the places, each with a weight that is held constant."""

    tasks: ClassVar[tuple[str, ...]] = ("segmentation",)

    @abstractmethod
    def weights(self, goal: SegmentationGoal, count: int) -> Weights:
        """Return what weighs the places in step 1, 2 and so on."""

    def objective(self, batch: Batch, count: int) -> Objective:
        """Return the weighted cross-entropy."""
        goal = place_goal(batch.threat)
        return _weighted(goal, self.weights(goal, count))


def _weighted(goal: SegmentationGoal, weights: Weights) -> Objective:
    """Return the goal's signed cross-entropy, averaged over its region with weights that are held constant."""

    def objective(task: Task, logits: Logits, targets: Targets) -> PerImage:
        with torch.no_grad():
            weight = weights(task, logits, targets)
        places = goal.region(task, targets).flatten(1).sum(1).clamp(min=1)
        return (weight * goal.entropies(task, logits, targets)).flatten(1).sum(1) / places

    return objective
