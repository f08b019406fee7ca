"""Square (Andriushchenko et al., 2020): random search with squares, or cubes, in 2-D and 3-D images."""

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
from aseptic.ops.draws import uniforms
from aseptic.ops.images import per_image
from aseptic.ops.windows import cut, put, window_corners, window_index, window_sides

HALVINGS = (10, 50, 200, 500, 1000, 2000, 4000, 6000, 8000)
"""After so many of 10,000 questions the share of the image that a square covers is halved."""
REDRAWS = 8
"""Most drawings of a square's signs until it changes the image."""
TILES = 5
"""Tiles along each axis of the l2 start."""
LEAST_SIDE = 3
"""Least side of an l2 window."""


@dataclass(frozen=True, kw_only=True)
class Square(EvasionAttack):
    r"""Put a square of :math:`\pm r` at a random place and keep it where the goal's margin grows.

    Paper: https://arxiv.org/abs/1912.00049, algorithms 1, 2 (linf) and 3 (l2); the schedule of sizes is that of the
    authors' code, which halves at 500 too.
    Departs from it: the first question is about the image itself; any goal, by its margin; cubes in volumes.
    Blind to: what lies inside the budget but not on its corners (linf); scores that are rounded until no square
    changes them.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "scores"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    queries: int = 10_000
    """Most questions about one image; the schedule of sizes is stretched to these, or to the threat's."""
    share: Number = 0.05
    """Share of the image that the first squares cover; the paper has 0.05 for linf and 0.1 for l2."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_queries(self.queries)
        if not 0 < self.share <= 1:
            raise InputError(f"share must lie in (0, 1], got {self.share!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first point that is seen to reach the goal, or the best one."""
        images, start, budget = batch.images, batch.start, batch.threat.budget
        questions = Questions(model, batch, self.queries)
        rows = torch.arange(len(images), device=images.device)
        result = batch.begin.clone()
        radius, propose = budget.radius, _square if budget.norm == "linf" else _bump
        found, margin, streams, step = result.clone(), questions.look(result), list(batch.rng), 0
        while True:
            left = (margin <= 0) & (questions.left(rows) > 0)
            if not bool(left.all()):
                result[rows] = found
                streams = [own for own, on in zip(streams, left.tolist(), strict=True) if on]
                images, found, margin, rows = (part[left] for part in (images, found, margin, rows))
            if len(rows) == 0:
                return result
            if step == 0 and start is None:
                begin = _stripes if budget.norm == "linf" else _tiles
                tried = begin(images, radius, streams)
            else:
                sides = self._sides(images.shape[2:], step, questions.limit)
                tried = propose(images, found, radius, sides, streams)
            seen = questions.margin(tried, rows)
            better = (seen > margin) | (step == 0 and start is None)
            found[better] = tried[better]
            margin, step = torch.where(better, seen, margin), step + 1

    def _sides(self, space: Sequence[int], step: int, limit: int) -> tuple[int, ...]:
        done = step * 10_000 // limit
        return window_sides(space, self.share / 2 ** sum(done > after for after in HALVINGS))


def _stripes(images: Images, radius: Number, rng: Sequence[torch.Generator]) -> Images:
    """Return images with stripes one value wide along the last axis, in each channel."""
    shape = (images.shape[1], *(1,) * (images.ndim - 3), images.shape[-1])
    return _signs(uniforms(rng, shape, images)).mul(radius).add(images).clamp(0, 1)


def _square(
    images: Images, found: Images, radius: Number, sides: tuple[int, ...], rng: Sequence[torch.Generator]
) -> Images:
    """Return what was found with one window moved by the radius, up or down in each channel."""
    space, channels = images.shape[2:], images.shape[1]
    drawn = uniforms(rng, (len(space) + channels,), images)
    index = window_index(space, sides, window_corners(space, sides, drawn[:, : len(space)]))
    clean, old, signs = cut(images, index), cut(found, index), _signs(drawn[:, len(space) :])
    for _ in range(REDRAWS):
        new = (clean + radius * signs[:, :, None]).clamp(0, 1)
        same = (new == old).flatten(1).all(1).nonzero()[:, 0]
        if len(same) == 0:
            break
        signs[same] = _signs(uniforms([rng[row] for row in same.tolist()], (channels,), images))
    return put(found, index, new)


def _tiles(images: Images, radius: Number, rng: Sequence[torch.Generator]) -> Images:
    """Return images at the whole radius, with one bump of random sign in each tile and channel."""
    space, channels = images.shape[2:], images.shape[1]
    counts = [min(TILES, length) for length in space]
    sides = [length // count for length, count in zip(space, counts, strict=True)]
    drawn = uniforms(rng, (1,), images)
    bumps = _bumps(sides, images)
    delta = torch.zeros_like(images)
    for row, signs in enumerate(_signs(uniforms(rng, (channels, *counts), images))):
        bump = bumps[_axis(drawn[row], len(space))]
        tiled = torch.kron(signs, bump.reshape(1, *sides))
        gaps = [(whole - part) // 2 for whole, part in zip(space, tiled.shape[1:], strict=True)]
        at = [slice(gap, gap + part) for gap, part in zip(gaps, tiled.shape[1:], strict=True)]
        inside = delta[row]
        inside[(slice(None), *at)] = tiled
    return _whole_radius(images, delta, radius)


def _bump(
    images: Images, found: Images, radius: Number, sides: tuple[int, ...], rng: Sequence[torch.Generator]
) -> Images:
    """Return what was found with the size of two windows moved into a bump on the first of them."""
    space, channels = images.shape[2:], images.shape[1]
    sides = tuple(min(max(side, LEAST_SIDE) | 1, length) for side, length in zip(sides, space, strict=True))
    drawn = uniforms(rng, (2 * len(space) + 1 + channels,), images)
    places, turned, signs = torch.split(drawn, [2 * len(space), 1, channels], dim=1)
    first, second = (
        window_index(space, sides, window_corners(space, sides, corner)) for corner in places.chunk(2, dim=1)
    )
    delta = found - images
    here = cut(delta, first)
    zero = torch.zeros_like(here)
    emptied = put(put(delta, first, zero), second, zero)
    inside = (delta.square() - emptied.square()).flatten(2).sum(2)
    unused = (radius**2 - delta.flatten(1).square().sum(1)).clamp(min=0)[:, None] / channels
    shape = _bumps(sides, images).reshape(len(space), -1)[_axis(turned[:, 0], len(space))]
    new = _unit(shape[:, None] * _signs(signs)[:, :, None] + _unit(here))
    return _whole_radius(images, put(emptied, first, new * (inside + unused).sqrt()[:, :, None]), radius)


def _bumps(sides: Sequence[int], like: Images) -> Tensor:
    r"""Return the paper's :math:`\eta`, split in a positive and a negative half along each axis, of norm 1."""
    each = []
    for axis, side in enumerate(sides):
        halves = [[*sides[:axis], part, *sides[axis + 1 :]] for part in (side // 2, side - side // 2)]
        whole = torch.cat([_peak(halves[0]), -_peak(halves[1])], dim=axis)
        each.append(whole / whole.norm())
    return torch.stack(each).to(like)


def _peak(sides: Sequence[int]) -> Tensor:
    r"""Return :math:`\sum_{j \ge d} 1 / (j + 1)^2` at distance d (in the maximum norm) from the centre, of norm 1."""
    distance = torch.zeros([*sides], dtype=torch.long)
    for axis, side in enumerate(sides):
        away = (torch.arange(side) - side // 2).abs().reshape(-1, *(1,) * (len(sides) - 1 - axis))
        distance = torch.maximum(distance, away)
    rings = 1 / torch.arange(1, max(sides) // 2 + 2, dtype=torch.float64).square()
    peak: Tensor = rings.flip(0).cumsum(0).flip(0)[distance]
    size: Tensor = peak.norm().clamp(min=torch.finfo(peak.dtype).tiny)
    return peak / size


def _axis(drawn: Tensor, axes: int) -> Tensor:
    return (drawn * axes).long().clamp(max=axes - 1)


def _signs(drawn: Tensor) -> Tensor:
    signs: Tensor = torch.where(drawn < 0.5, -1.0, 1.0).to(drawn)  # noqa: PLR2004 - a fair coin
    return signs


def _unit(values: Tensor) -> Tensor:
    sizes: Tensor = values.norm(dim=2, keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return values / sizes


def _whole_radius(images: Images, delta: Images, radius: Number) -> Images:
    size = delta.flatten(1).norm(dim=1).clamp(min=math.sqrt(torch.finfo(delta.dtype).tiny))
    moved: Tensor = (images + delta * per_image(radius / size, images)).clamp(0, 1)
    return moved
