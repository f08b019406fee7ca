"""The fast gradient sign method (Goodfellow et al., 2015) on 2-D and 3-D images."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aseptic.attacks.base import Counted, EvasionAttack, Threat
from aseptic.core.types import Images, Targets
from aseptic.ops.balls import ascend
from aseptic.ops.gradients import input_gradient


@dataclass(frozen=True, kw_only=True)
class FGSM(EvasionAttack):
    r"""One step of the whole radius: :math:`x + r\, u(\nabla J(x))`, clipped to [0, 1].

    Paper: https://arxiv.org/abs/1412.6572, section 4.
    Departs from it: any goal; also l2 and l1, with the steepest direction of that norm.
    Blind to: loss surfaces that bend within the budget, and masked gradients; a failure proves nothing.
    """

    def perturb(  # noqa: PLR0913 - the threat and the randomness, by keyword
        self,
        model: Counted,
        images: Images,
        targets: Targets,
        threat: Threat,
        *,
        rng: Sequence[torch.Generator],
        start: Images | None = None,
    ) -> Images:
        """Return the images after one step."""
        del rng, start
        _, uphill = input_gradient(model, lambda logits: threat.goal.objective(model.task, logits, targets), images)
        return ascend(threat.budget, images, images, uphill, 1.0)
