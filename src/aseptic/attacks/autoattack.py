"""AutoAttack (Croce and Hein, 2020): four attacks in a row, each on the images that are left standing."""

from dataclasses import dataclass, replace

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.battery import fitting, plan
from aseptic.core.types import Images
from aseptic.ops.images import per_image


@dataclass(frozen=True, kw_only=True)
class AutoAttack(EvasionAttack):
    """An image is robust only if it withstands Auto-PGD on two losses, FAB and Square.

    `aseptic.attacks.battery.run_battery` runs the same stages (``AutoAttack().attacks()``) one by one, stores each that
    is finished, and says why what withstood them may be weaker than it looks.

    Paper: https://arxiv.org/abs/2003.01690, section 5.
    Departs from it: any goal. With two or three classes, and for findings, ``apgd-t`` climbs margins instead of the
    ratio of logits, which is not defined there. In l1, which Square does not search, three attacks are left.
    Blind to: models that answer at random (no averaging over answers), and what none of the four finds: adapt an attack
    to the model before calling it robust.
    """

    stages: str = "apgd-ce,apgd-t,fab-t,square"
    """Attacks by name, in this order, with commas between."""
    steps: int = 100
    """Steps of each attack that has steps, and searches with gradients."""
    queries: int = 5000
    """Most questions about one image, for each attack that asks."""

    def __post_init__(self) -> None:
        """Check the stages by making them."""
        self.attacks()

    def attacks(self) -> dict[str, EvasionAttack]:
        """Return the stages by name.

        Raises:
            InputError: A stage that does not exist, or one that refuses the settings.
        """
        return plan(self.stages, steps=self.steps, queries=self.queries, stop=True)

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, what the first stage that reaches the goal found, else the largest margin."""
        found, goal = batch.begin.clone(), batch.threat.goal
        with torch.no_grad():
            margin = goal.margin(model.task, model(found.clone()), batch.targets)
        rows = (~(margin > 0)).nonzero()[:, 0]
        able, _ = fitting(self.attacks(), batch.threat, model.task)
        whole = model.ledger
        for name, attack in able.items():
            if len(rows) == 0:
                break
            model.stage = f"{name} on {len(rows)} of {len(found)}"
            part = replace(batch, start=None).at(rows)
            ledger = model.open(part)
            if whole is not None:  # what was asked before counts
                ledger.asked += whole.asked[rows]
            new = attack.perturb(model, part)
            if whole is not None:
                whole.asked[rows], whole.first[rows] = ledger.asked, torch.minimum(whole.first[rows], ledger.first)
            model.ledger = whole
            with torch.no_grad():
                reached = goal.margin(model.task, model(new.clone()), part.targets)
            better = reached > margin[rows]
            found[rows] = torch.where(per_image(better, new), new, found[rows])
            margin[rows] = torch.where(better, reached, margin[rows])
            rows = rows[~(margin[rows] > 0)]
        model.stage = ""
        return found
