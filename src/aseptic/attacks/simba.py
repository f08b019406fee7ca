"""SimBA (Guo et al., 2019): one direction of a basis at a time, kept where the scores say that it helps."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from aseptic.attacks.asking import Questions, check_queries
from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.images import per_image

BASES = ("dct", "pixel")


@dataclass(frozen=True, kw_only=True)
class SimBA(EvasionAttack):
    r"""Take directions :math:`q` of an orthonormal basis in random order; keep :math:`x' \pm s\, q` where it helps.

    Paper: https://arxiv.org/abs/1905.07121, algorithm 1 and section 3.2 (cosine basis, lowest eighth first).
    Departs from it: the step is measured in the norm of the budget, and what is tried is brought into the budget
    first; any goal, by its margin, not the probability;
    after the lowest frequencies the others, then all again; what would change nothing is not asked.
    Blind to: directions that help only together; scores that are rounded until no step changes them.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "scores"

    queries: int = 10_000
    """Most questions about one image."""
    step: Number = 0.2
    """Length ``s`` of one step in the norm of the budget, as a fraction of its radius (the paper: 0.2 in image units);
    single values in linf are searched fastest with 1."""
    basis: str = "dct"
    """Directions: ``dct``, the waves of the cosine transform, or ``pixel``, single values."""
    frequencies: Number = 0.125
    """With ``dct``: share of each axis' frequencies, the lowest, that are tried before the others."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_queries(self.queries)
        if not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"step must be a positive fraction of the radius, got {self.step!r}")
        if self.basis not in BASES:
            raise InputError(f"basis must be one of {', '.join(BASES)}; got {self.basis!r}")
        if not 0 < self.frequencies <= 1:
            raise InputError(f"frequencies must lie in (0, 1], got {self.frequencies!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first point that is seen to reach the goal, or the best one."""
        images, budget, questions = batch.images, batch.threat.budget, Questions(model, batch, self.queries)
        basis, first = self._basis(images)
        rows = torch.arange(len(images), device=images.device)
        result = batch.begin.clone()
        found, margin, streams = result.clone(), questions.look(result), list(batch.rng)
        count = min(len(first), questions.limit)
        order = torch.stack([_order(first, own, count) for own in streams]).to(images.device)
        place, sign = torch.zeros_like(rows), torch.ones_like(margin)
        for _ in range(4 * questions.limit):  # enough for many directions that change nothing
            left = (margin <= 0) & (questions.left(rows) > 0)
            if not bool(left.all()):
                result[rows] = found
                streams = [own for own, on in zip(streams, left.tolist(), strict=True) if on]
                images, found, margin, rows, order, place, sign = (
                    part[left] for part in (images, found, margin, rows, order, place, sign)
                )
            if len(rows) == 0:
                break
            chosen = order.gather(1, place[:, None])[:, 0]
            along = basis.along(chosen, images)
            length = self.step * budget.radius / budget.size(along)
            delta = found - images + along * per_image(sign * length, images)
            tried = budget.project(delta).add_(images).clamp_(0, 1)
            changed = (tried != found).flatten(1).any(1)
            seen = margin.clone()
            seen[changed] = questions.margin(tried[changed], rows[changed])
            better = seen > margin
            found, margin = torch.where(per_image(better, images), tried, found), torch.where(better, seen, margin)
            done = better | (sign < 0)
            place, sign = place + done, torch.where(done, 1.0, -1.0).to(sign)
            for row in (place == count).nonzero()[:, 0].tolist():
                order[row] = _order(first, streams[row], count).to(order)
                place[row] = 0
        result[rows] = found
        return result

    def _basis(self, images: Images) -> tuple["_Pixels | _Waves", Tensor]:
        """Return the directions, and which of them come first."""
        space, channels = images.shape[2:], images.shape[1]
        if self.basis == "pixel":
            return _Pixels(), torch.ones(images[0].numel(), dtype=torch.bool)
        first = torch.ones(channels, *space, dtype=torch.bool)
        for axis, length in enumerate(space):
            low = torch.arange(length) < math.ceil(self.frequencies * length)
            first &= low.reshape(-1, *(1,) * (len(space) - 1 - axis))
        return _Waves([_cosines(length).to(images) for length in space]), first.flatten()


class _Pixels:
    """Single values."""

    def along(self, chosen: Tensor, images: Images) -> Images:
        flat = torch.zeros_like(images).flatten(1)
        return flat.scatter_(1, chosen[:, None], 1.0).reshape(images.shape)


class _Waves:
    """Products of one cosine along each axis, in one channel."""

    def __init__(self, axes: Sequence[Tensor]) -> None:
        self.axes = axes

    def along(self, chosen: Tensor, images: Images) -> Images:
        channel, *waves = torch.unravel_index(chosen, images.shape[1:])
        space = torch.ones(len(images), *(1,) * len(self.axes)).to(images)
        for axis, (table, wave) in enumerate(zip(self.axes, waves, strict=True)):
            space = space * table[wave].reshape(-1, *(1,) * axis, len(table), *(1,) * (len(self.axes) - 1 - axis))
        whole = torch.zeros_like(images)
        whole[torch.arange(len(images), device=images.device), channel] = space
        return whole


def _cosines(length: int) -> Tensor:
    """Return the orthonormal cosine transform (type II), one frequency in each row."""
    wave, place = torch.arange(length, dtype=torch.float64)[:, None], torch.arange(length, dtype=torch.float64) + 0.5
    table = (math.pi / length * wave * place).cos() * math.sqrt(2 / length)
    table[0] /= math.sqrt(2)
    return table


def _order(first: Tensor, rng: torch.Generator, count: int) -> Tensor:
    """Return ``count`` directions in random order, those that are ``first`` before the others."""
    blocks = []
    for block in (first.nonzero()[:, 0], (~first).nonzero()[:, 0]):
        blocks.append(block[torch.randperm(len(block), generator=rng)][:count])
        count -= len(blocks[-1])
        if count == 0:
            break
    return torch.cat(blocks)
