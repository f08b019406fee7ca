"""SegPGD (Gu et al., 2022): projected gradient descent that first turns to the places that are still right."""

from dataclasses import dataclass

from aseptic.attacks.places import WeightedPGD, Weights
from aseptic.core.types import Logits, Targets
from aseptic.tasks.base import Task
from aseptic.tasks.segmentation import PerPlace, SegmentationGoal


@dataclass(frozen=True, kw_only=True)
class SegPGD(WeightedPGD):
    r"""PGD on the cross-entropy of the places, weighted :math:`1 - \lambda` while unreached and :math:`\lambda` after.

    It works on images and volumes. In step ``t`` of ``T``, :math:`\lambda = (t - 1) / 2T`: first only the places that
    are still to be won, at the end all alike.

    Paper: https://arxiv.org/abs/2207.12391, section 3.2, algorithm 1; its step is 0.01 within 8/255.
    Departs from it: any goal on segmentations, in the goal's own region; also l2 and l1; images that have fallen are
    left alone.
    Blind to: masked gradients; with `aseptic.tasks.segmentation.Damage`, the Dice, which it does not climb.
    """

    def weights(self, goal: SegmentationGoal, count: int) -> Weights:
        """Return less for the places that are won than for the others, as long as the search is young."""
        late = (count - 1) / (2 * self.steps)

        def weigh(task: Task, logits: Logits, truth: Targets) -> PerPlace:
            won = goal.margins(task, logits, truth) > 0
            return logits.new_tensor(1 - late).where(~won, late)

        return weigh
