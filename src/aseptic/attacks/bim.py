"""The basic iterative method (Kurakin et al., 2017) on 2-D and 3-D images."""

from dataclasses import dataclass
from typing import ClassVar

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import Climb, check_confidence, check_steps
from aseptic.core.types import Images, Number


@dataclass(frozen=True, kw_only=True)
class BIM(EvasionAttack):
    r"""From the image itself, repeat :math:`x' \leftarrow \Pi_{[0, 1]}(x + \Pi_B(x' - x + a\, u(\nabla J(x'))))`.

    Paper: https://arxiv.org/abs/1607.02533, section 2.2; steps and step follow its rule (one grey level a step,
    the smaller of levels + 4 and 1.25 levels of them) at 8 grey levels.
    Departs from it: any goal; also l2 and l1; images that have fallen are left alone.
    Blind to: better optima than the one uphill of the image, and masked gradients.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation", "detection")

    steps: int = 10
    """Number of gradient evaluations."""
    step: Number = 0.125
    """Length ``a`` of one step, as a fraction of the radius of the budget ``B``."""
    stop: bool = True
    """Keep the first iterate that reaches the goal and spend nothing more on that image; if not, return the last."""
    confidence: Number = 0.0
    """With ``stop``: margin, in logits, above which an image is left alone; 0 is the first iterate that succeeds."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_steps(self.steps, self.step)
        check_confidence(self.confidence)

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first iterate that reaches the goal with ``confidence``, or the best one."""
        climb = Climb(steps=self.steps, step=self.step, confidence=self.confidence if self.stop else None)
        return climb.run(model, batch, [batch.begin])
