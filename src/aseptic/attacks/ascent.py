"""Projected gradient ascent on an objective of the attack's own, instead of the goal's."""

from abc import abstractmethod
from dataclasses import dataclass

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import Climb, Objective, check_steps
from aseptic.core.types import Images, Number
from aseptic.ops.balls import random_start


@dataclass(frozen=True, kw_only=True)
class Ascent(EvasionAttack):
    """Steps inside the budget from a random start; everything but what is climbed."""

    steps: int = 20
    """Number of gradient evaluations, ``T``."""
    step: Number = 0.32
    """Length ``a`` of one step, as a fraction of the radius of the budget."""
    random_start: bool = True
    """Start uniformly inside the budget instead of at the image."""
    stop: bool = True
    """Keep the first iterate that reaches the goal and spend nothing more on that image; if not, return the last."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_steps(self.steps, self.step)

    @abstractmethod
    def objective(self, batch: Batch, count: int) -> Objective:
        """Return what is climbed in step 1, 2 and so on."""

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first iterate that reaches the goal, or the last one."""
        found = batch.begin
        if self.random_start and batch.start is None:
            found = random_start(batch.threat.budget, batch.images, batch.rng)
        climb = Climb(
            steps=self.steps,
            step=self.step,
            confidence=0.0 if self.stop else None,
            climbs=lambda count: self.objective(batch, count),
        )
        return climb.run(model, batch, [found])
