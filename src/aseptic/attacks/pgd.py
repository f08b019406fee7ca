"""Projected gradient descent (Madry et al., 2018) on 2-D and 3-D images."""

from dataclasses import dataclass
from typing import ClassVar

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import LOSSES, Climb, check_confidence, check_steps
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.balls import random_start


@dataclass(frozen=True, kw_only=True)
class PGD(EvasionAttack):
    r"""Repeat :math:`x' \leftarrow \Pi_{[0, 1]}(x + \Pi_B(x' - x + a\, u(\nabla J(x'))))`.

    Paper: https://arxiv.org/abs/1706.06083, section 2.1; steps and step as in its CIFAR-10 table (20 steps of 2/255
    within 8/255).
    Departs from it: any goal; also l2 and l1; images that have fallen are left alone, with all their restarts; in l1
    and l2 a step is not spent on values that are already at 0 or 1.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation", "detection")

    steps: int = 20
    """Number of gradient evaluations."""
    step: Number = 0.25
    """Length ``a`` of one step, as a fraction of the radius of the budget ``B``."""
    random_start: bool = True
    """Start uniformly inside ``B`` instead of at the image."""
    stop: bool = True
    """Keep the first iterate that reaches the goal and spend nothing more on that image; if not, return the last."""
    confidence: Number = 0.0
    """With ``stop``: margin, in logits, above which an image is left alone; 0 is the first iterate that succeeds."""
    loss: str = "objective"
    """What is climbed: the goal's smooth ``objective``, or its ``margin``."""
    restarts: int = 1
    """Number of starts, all in one batch, of which the best is kept; the memory that is needed grows with it."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_steps(self.steps, self.step)
        check_confidence(self.confidence)
        if self.loss not in LOSSES:
            raise InputError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")
        if self.restarts < 1:
            raise InputError(f"restarts must be a whole number of at least 1, got {self.restarts!r}")
        if self.restarts > 1 and not self.random_start:
            raise InputError(f"restarts must be 1 without random_start (all would be alike), got {self.restarts!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first iterate that reaches the goal with ``confidence``, or the best one.

        An image's stream gives its starts one after the other, so that further restarts leave the first ones as they
        are; ``start`` takes the place of the first.
        """
        starts = [batch.begin] if batch.start is not None or not self.random_start else []
        drawn = self.restarts - len(starts)
        starts += [random_start(batch.threat.budget, batch.images, batch.rng) for _ in range(drawn)]
        confidence = self.confidence if self.stop else None
        climb = Climb(steps=self.steps, step=self.step, loss=self.loss, confidence=confidence)
        return climb.run(model, batch, starts)
