"""The fast gradient sign method (Goodfellow et al., 2015) on 2-D and 3-D images."""

from dataclasses import dataclass
from typing import ClassVar

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.core.types import Images
from aseptic.ops.balls import ascend
from aseptic.ops.gradients import input_gradient


@dataclass(frozen=True, kw_only=True)
class FGSM(EvasionAttack):
    r"""One step of the whole radius: :math:`x + r\, u(\nabla J(x))`, clipped to [0, 1].

    Paper: https://arxiv.org/abs/1412.6572, section 4.
    Departs from it: any goal; also l2 and l1, with the steepest direction of that norm.
    Blind to: loss surfaces that bend within the budget, and masked gradients; a failure proves nothing.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation", "detection")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the images after one step."""
        images, goal = batch.images, batch.threat.goal
        _, uphill = input_gradient(model, lambda logits: goal.objective(model.task, logits, batch.targets), images)
        return ascend(batch.threat.budget, images, images, uphill, 1.0)
