"""Dense adversary generation (Xie et al., 2017) on segmentations of images and volumes, and on detections."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest
from aseptic.attacks.places import unwon
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image


@dataclass(frozen=True, kw_only=True)
class DAG(EvasionAttack):
    r"""Repeat :math:`x' \leftarrow x' + \gamma\, g / \lVert g \rVert_\infty` until the goal is reached.

    :math:`g` is the gradient of the sum of the margins of those places of the goal's region that are not yet won. The
    places of a detector are its candidates, before doubles are suppressed.

    Paper: https://arxiv.org/abs/1703.08603, algorithm 1.
    Departs from it: a class to be lost may become any other, not one drawn beforehand; clipped to [0, 1]; it ends when
    the goal is reached, which may be before every place is won; what lies outside the budget is brought into it.
    Blind to: masked gradients; the norm of the budget, which it does not minimise.
    """

    tasks: ClassVar[tuple[str, ...]] = ("segmentation", "detection")

    steps: int = 200
    """Most gradient evaluations."""
    step: Number = 0.5 / 255
    """Largest change of a value in one step, in image units."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.step < float("inf"):
            raise InputError(f"step must be a positive number, got {self.step!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the first iterate that reaches the goal, brought into the budget."""
        nearest = Nearest(batch)
        targets, found = batch.targets, batch.images
        rows = torch.arange(len(found), device=found.device)

        def still(logits: Logits) -> PerImage:
            return unwon(batch.threat, model.task, logits, targets[rows]).flatten(1).sum(1)

        for _ in range(self.steps):
            logits, uphill = input_gradient(model, still, found)
            reached, _ = nearest.look(model, rows, found, logits)
            if bool(reached.all()):
                return nearest.result()
            largest = uphill.flatten(1).abs().amax(1).clamp(min=torch.finfo(uphill.dtype).tiny)
            found = (found + uphill * per_image(self.step / largest, found)).clamp_(0, 1)
            rows, found = rows[~reached], found[~reached]
        with torch.no_grad():
            reached, _ = nearest.look(model, rows, found, model(found.clone()))
        nearest.best[rows[~reached]] = found[~reached]  # as far as it came, whatever became of the margin
        return nearest.result()
