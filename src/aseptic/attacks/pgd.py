"""Projected gradient descent (Madry et al., 2018) on 2-D and 3-D images."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.attacks.base import Counted, EvasionAttack, Threat
from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, Logits, Number, Targets
from aseptic.ops.balls import ascend, random_start
from aseptic.ops.gradients import input_gradient

LOSSES = ("objective", "margin")
LOOK_EVERY = {"cpu": 1}
"""Steps between two looks at which images have fallen, by device; each look makes an accelerator wait for the host."""
ELSEWHERE = 4
"""The same on every other device."""


@dataclass(frozen=True, kw_only=True)
class PGD(EvasionAttack):
    r"""Repeat :math:`x' \leftarrow \Pi_{[0, 1]}(x + \Pi_B(x' - x + a\, u(\nabla J(x'))))`.

    Paper: https://arxiv.org/abs/1706.06083, section 2.1; steps and step as in its CIFAR-10 table (20 steps of 2/255
    within 8/255).
    Departs from it: any goal; also l2 and l1; images that have fallen are left alone; in l1 and l2 a step is not spent
    on values that are already at 0 or 1.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

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

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"step must be a positive fraction of the radius, got {self.step!r}")
        if not (math.isfinite(self.confidence) and self.confidence >= 0):
            raise InputError(f"confidence must be a number of at least 0, got {self.confidence!r}")
        if self.loss not in LOSSES:
            raise InputError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")

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
        """Return, for each image, the first iterate that reaches the goal with ``confidence``, or the best one."""
        found = images if start is None else start
        if self.random_start and start is None:
            found = random_start(threat.budget, images, rng)
        if self.stop:
            return self._until_reached(model, images, targets, threat, found)
        for _ in range(self.steps):
            _, uphill = self._uphill(model, targets, threat, found)
            found = ascend(threat.budget, images, found, uphill, self.step)
        return found

    def _uphill(self, model: Counted, targets: Targets, threat: Threat, found: Images) -> tuple[Logits, Images]:
        climbed = threat.goal.margin if self.loss == "margin" else threat.goal.objective
        return input_gradient(model, lambda logits: climbed(model.task, logits, targets), found)

    def _until_reached(self, model: Counted, images: Images, targets: Targets, threat: Threat, found: Images) -> Images:
        """Climb with the images that have not fallen; the logits of each gradient say which have."""
        result, rows = found.clone(), torch.arange(len(images), device=images.device)
        fallen = torch.zeros_like(rows, dtype=torch.bool)
        best, margin = found, torch.zeros_like(rows, dtype=images.dtype)
        look_every = LOOK_EVERY.get(images.device.type, ELSEWHERE)
        for step in range(1, self.steps + 1):
            logits, uphill = self._uphill(model, targets, threat, found)
            reached = threat.goal.margin(model.task, logits, targets)
            best = torch.where(_each(reached > margin, images), found, best)
            margin = torch.maximum(reached, margin)
            fallen = fallen | (reached > self.confidence)
            moved = ascend(threat.budget, images, found, uphill, self.step)
            found = torch.where(_each(fallen, images), found, moved)
            if step % look_every == 0 and bool(fallen.any()):
                result[rows] = best
                left = ~fallen
                images, targets, found, rows, fallen, best, margin = (
                    t[left] for t in (images, targets, found, rows, fallen, best, margin)
                )
                if len(rows) == 0:
                    return result
        result[rows] = torch.where(_each(margin > 0, images), best, found)
        return result


def _each(flags: Flags, images: Images) -> Tensor:
    """Return the flags of the images in a shape that meets their pixels."""
    return flags.reshape(-1, *(1,) * (images.ndim - 1))
