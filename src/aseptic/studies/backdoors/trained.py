"""One network of a study's grid, and what it is asked about."""

from dataclasses import dataclass

from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.backdoors.recipe import Recipe


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A network that is trained on one set, clean or poisoned, and asked about one trigger."""

    name: str
    """Name in cells and findings: ``twin``, ``fiba``, ``side-1``."""
    where: str
    """Name of its data set."""
    plan: PoisonPlan | None
    """How its training set is poisoned; None for a clean twin."""
    asked: PoisonPlan
    """The trigger that it is asked about."""
    recipe: Recipe
    """Network and training."""

    def cell(self, kind: str) -> str:
        """Return the name of one of its cells."""
        return f"{kind}/{self.where}/{self.name}"
