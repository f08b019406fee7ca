"""Adversarial patch on one image (Karmon et al., 2018): a window at the best place, and anything inside it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.climbing import LOSSES, Objective
from aseptic.attacks.filling import Filling
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number
from aseptic.ops.draws import uniforms
from aseptic.ops.gradients import input_gradient
from aseptic.ops.windows import Window, window_corners, window_index, window_sums

PLACES = ("best", "centre", "random")


@dataclass(frozen=True, kw_only=True)
class Patch(EvasionAttack):
    r"""Repeat :math:`x'_W \leftarrow \Pi_{[0, 1]}(x'_W + a\, \mathrm{sign}(\nabla J(x')_W))` in a window ``W``.

    The best place is the window where the values can gain most to first order, each going to 0 or to 1:
    :math:`\sum_{i \in W} \max(g_i, 0) (1 - x_i) + \max(-g_i, 0)\, x_i`.

    Paper: https://arxiv.org/abs/1801.02608, section 3 (in the image domain); Brown et al., 2017,
    https://arxiv.org/abs/1712.09665, has patches for many images.
    Departs from it: any goal; the place is chosen by the gradient; the image is the start, not noise.
    Blind to: places whose gradient at the clean image is small; masked gradients.
    """

    norms: ClassVar[tuple[str, ...]] = ("window",)
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "detection")

    steps: int = 50
    """Number of gradient evaluations at each place."""
    step: Number = 0.05
    """Length ``a`` of one step, in image units."""
    place: str = "best"
    """Where the window lies: where the gradient is ``best`` used, in the ``centre``, or at a ``random`` place."""
    places: int = 1
    """Number of places tried (not for the centre): the best ones that do not overlap, or random ones."""
    loss: str = "objective"
    """What is climbed: the goal's smooth ``objective``, or its ``margin``."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.step <= 1:
            raise InputError(f"step must lie in (0, 1], in image units, got {self.step!r}")
        if self.place not in PLACES:
            raise InputError(f"place must be one of {', '.join(PLACES)}; got {self.place!r}")
        if self.loss not in LOSSES:
            raise InputError(f"loss must be one of {', '.join(LOSSES)}; got {self.loss!r}")
        if self.places < 1 or (self.place == "centre" and self.places > 1):
            raise InputError(f"places must be at least 1, and 1 for the centre, got {self.places!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first iterate that reaches the goal, or the highest one of all places."""
        images, space = batch.images, batch.images.shape[2:]
        share = batch.threat.budget.radius
        sides = Window(share).sides(space)
        if 0 in sides:
            raise InputError(f"the window must hold a value, {share:g} of images of {[*space]} does not")
        corners = self._corners(model, batch, sides)
        result = images.clone()
        best = torch.full_like(images.flatten(1)[:, 0], -torch.inf)
        rows = torch.arange(len(images), device=images.device)
        for corner in corners.unbind(1):
            if len(rows) == 0:
                break
            index = window_index(space, sides, corner[rows])
            climbing = Filling(steps=self.steps, step=self.step, climbed=self._climbed(batch))
            found, height, fell = climbing.run(model, batch.at(rows), index)
            better = fell | (height > best[rows])
            result[rows[better]], best[rows[better]] = found[better], height[better]
            rows = rows[~fell]
        return result

    def _corners(self, model: Counted, batch: Batch, sides: tuple[int, ...]) -> Tensor:
        """Return the first corners of the windows to try, ``[image, place, axis]``."""
        images, space = batch.images, batch.images.shape[2:]
        if self.place == "best":
            gradient = self._uphill(model, batch, images)[1]
            gain = gradient.clamp(min=0) * (1 - images) + gradient.neg().clamp(min=0) * images
            return best_apart(window_sums(gain, sides), sides, self.places)
        if self.place == "random":
            drawn = uniforms(batch.rng, (self.places, len(space)), images)
            return torch.stack([window_corners(space, sides, part) for part in drawn.unbind(1)], dim=1)
        middle = [(length - side) // 2 for length, side in zip(space, sides, strict=True)]
        return torch.tensor(middle, device=images.device).expand(len(images), 1, -1)

    def _climbed(self, batch: Batch) -> Objective:
        return batch.threat.goal.margin if self.loss == "margin" else batch.threat.goal.objective

    def _uphill(self, model: Counted, batch: Batch, found: Images) -> tuple[Logits, Images]:
        climbed = self._climbed(batch)
        return input_gradient(model, lambda logits: climbed(model.task, logits, batch.targets), found)


def best_apart(sums: Tensor, sides: Sequence[int], count: int) -> Tensor:
    """Return the corners of the largest sums whose boxes do not overlap, ``[image, count, axis]``.

    Where no more of them fit, the first is repeated.

    Args:
        sums: One for each place of the box, ``[image, *place]``, all finite.
        sides: Sides of the box.
        count: Number of corners.
    """
    left = sums.clone()
    corners: list[Tensor] = []
    for _ in range(count):
        chosen = left.flatten(1).argmax(1)
        corner = torch.stack(torch.unravel_index(chosen, left.shape[1:]), dim=1)
        none = left.flatten(1).amax(1, keepdim=True) == -torch.inf
        corners.append(torch.where(none, corners[0], corner) if corners else corner)
        overlap = torch.ones_like(left, dtype=torch.bool)
        for axis, side in enumerate(sides):
            place = torch.arange(left.shape[axis + 1], device=left.device)
            near = (place - corner[:, axis : axis + 1]).abs() < side
            overlap &= near.reshape(len(left), *(1,) * axis, -1, *(1,) * (len(sides) - 1 - axis))
        left = left.masked_fill(overlap, -torch.inf)
    return torch.stack(corners, dim=1)
