"""CosPGD (Agnihotri et al., 2024): projected gradient descent that weighs places by how right they still are."""

from dataclasses import dataclass

import torch

from aseptic.attacks.places import WeightedPGD, Weights
from aseptic.core.types import Logits, Targets
from aseptic.tasks.base import Task
from aseptic.tasks.segmentation import PerPlace, SegmentationGoal


@dataclass(frozen=True, kw_only=True)
class CosPGD(WeightedPGD):
    r"""PGD on the cross-entropy of the places, each times :math:`\cos(p, e_y)`, in 2-D and 3-D.

    :math:`p` are the probabilities at a place and :math:`e_y` is 1 for the class that is to be lost; where a class is
    to be taken instead, the weight is :math:`1 - \cos(p, e_y)`. No gradient flows through the weights.

    Paper: https://arxiv.org/abs/2302.02213, section 3; its step is 0.01 within 8/255.
    Departs from it: any goal on segmentations, in the goal's own region; also l1; images that have fallen are left
    alone.
    Blind to: masked gradients; with `aseptic.tasks.segmentation.Damage`, the Dice, which it does not climb.
    """

    def weights(self, goal: SegmentationGoal, count: int) -> Weights:
        """Return how far every place is from what is wanted there."""
        del count

        def weigh(task: Task, logits: Logits, truth: Targets) -> PerPlace:
            likely = task.shift(logits).softmax(1)
            own = likely.gather(1, goal.labels(task, truth)[:, None])[:, 0]
            cosine: PerPlace = own / torch.linalg.vector_norm(likely, dim=1)
            return 1 - cosine if goal.toward else cosine

        return weigh
