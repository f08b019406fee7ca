"""The margin loss of Carlini and Wagner climbed inside a linf ball, on 2-D and 3-D images."""

from dataclasses import dataclass
from typing import ClassVar

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import Climb, check_confidence, check_steps
from aseptic.core.types import Images, Number


@dataclass(frozen=True, kw_only=True)
class CWLinf(EvasionAttack):
    r"""Climb :math:`\min(m(x'), \kappa)`, the goal's margin up to a confidence, in steps of :math:`a\, \mathrm{sign}`.

    Paper: https://arxiv.org/abs/1608.04644, section V, the sixth loss, as https://arxiv.org/abs/1907.10456, section 3,
    uses it: from the image itself, 20 steps of a tenth of the radius, a confidence that is hardly ever reached.
    Departs from it: any goal; where the loss is flat (beyond the confidence) an image is left alone; the iterate with
    the largest margin is returned, not the last.
    Blind to: better optima than the one uphill of the image, and masked gradients; the gradient knows one rival class
    at a time.
    """

    norms: ClassVar[tuple[str, ...]] = ("linf",)

    steps: int = 20
    """Number of gradient evaluations."""
    step: Number = 0.1
    """Length ``a`` of one step, as a fraction of the radius of the budget."""
    confidence: Number = 100.0
    """Margin ``kappa``, in logits, above which an image is left alone; 0 ends at the first iterate that succeeds."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_steps(self.steps, self.step)
        check_confidence(self.confidence)

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the iterate with the largest margin, or the last where none reached the goal."""
        climb = Climb(steps=self.steps, step=self.step, loss="margin", confidence=self.confidence)
        return climb.run(model, batch, [batch.begin])
