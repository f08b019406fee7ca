"""Boxes inside images, in two and three dimensions: where they lie, and what is cut out and put in."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number, PerImage, Places

CLOSE = 1e-9
"""Excess of a fraction that is rounding: 0.027 to the power of a third is 0.3."""


def window_sides(space: Sequence[int], share: float) -> tuple[int, ...]:
    """Return the sides of a square or cube that covers this share of the space, cut to the space where it is flat.

    >>> window_sides((100, 100), 0.25), window_sides((8, 8, 2), 1.0)
    ((50, 50), (5, 5, 2))
    """
    side = max(1, round((share * math.prod(space)) ** (1 / len(space))))
    return tuple(min(side, length) for length in space)


def window_corners(space: Sequence[int], sides: Sequence[int], drawn: Tensor) -> Tensor:
    """Return the first corner of each window, ``[image, axis]``, from numbers ``drawn`` uniformly from [0, 1)."""
    places = torch.tensor([length - side + 1 for length, side in zip(space, sides, strict=True)]).to(drawn)
    return torch.minimum((drawn * places).floor(), places - 1).long()


def window_index(space: Sequence[int], sides: Sequence[int], corners: Tensor) -> Tensor:
    """Return the positions inside each window, counted along the flattened space, ``[image, position]``."""
    flat = torch.zeros_like(corners[:, :1])
    for axis, (length, side) in enumerate(zip(space, sides, strict=True)):
        along = corners[:, axis : axis + 1] + torch.arange(side, device=corners.device)
        flat = (flat[:, :, None] * length + along[:, None, :]).flatten(1)
    return flat


def cut(images: Images, index: Tensor) -> Tensor:
    """Return what the images hold at these positions, ``[image, channel, position]``."""
    return images.flatten(2).gather(2, index[:, None].expand(-1, images.shape[1], -1))


def put(images: Images, index: Tensor, values: Tensor) -> Images:
    """Return the images with these values, ``[image, channel, position]``, at these positions."""
    where = index[:, None].expand(-1, images.shape[1], -1)
    return images.flatten(2).scatter(2, where, values.expand(where.shape)).reshape(images.shape)


@dataclass(frozen=True)
class Window:
    """All perturbations inside one box of an image, whatever their size: where a sticker may lie.

    The sides of the box are the same fraction of every axis, so it is a square in square images and a cube in cubic
    volumes; over the channels it has no limits.

    Raises:
        InputError: The share is not in [0, 1].
    """

    radius: Number
    """Largest share of the image's area (volume) that the box covers."""
    norm: ClassVar[str] = "window"
    """What budgets of this kind are called."""

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 <= self.radius <= 1:
            raise InputError(f"the share of a window must lie in [0, 1], got {self.radius!r}")

    def sides(self, space: Sequence[int]) -> tuple[int, ...]:
        """Return the sides of the largest box, in values; with a side of 0 nothing can be changed.

        >>> Window(0.25).sides((8, 6)), Window(0.001).sides((10, 10))
        ((4, 3), (0, 0))
        """
        fraction = self.radius ** (1 / len(space))
        return tuple(math.floor(length * (fraction + CLOSE)) for length in space)

    def size(self, delta: Images) -> PerImage:
        """Return the share of the smallest such box that holds all that is not 0."""
        used, axes = (delta != 0).any(1), range(1, delta.ndim - 1)
        fraction = delta.new_zeros(len(delta), dtype=torch.float64)
        for axis in axes:
            along = used.amax([other for other in axes if other != axis]).double()
            place = torch.arange(1, along.shape[1] + 1, device=delta.device)
            last, first = (along * place).amax(1), (along * place.flip(0)).amax(1)
            extent = (last + first - along.shape[1]).clamp(min=0)
            fraction = torch.maximum(fraction, extent / along.shape[1])
        return fraction.pow(len(axes)).to(delta.dtype)

    def box(self, delta: Images) -> Places:
        """Return which places lie in the smallest box, of any sides, that holds all that is not 0."""
        used, axes = (delta != 0).any(1), range(1, delta.ndim - 1)
        inside = torch.ones_like(used)
        for axis in axes:
            along = used.amax([other for other in axes if other != axis]).long()
            begun, on_end = along.cumsum(1) > 0, along.flip(1).cumsum(1).flip(1) > 0
            inside &= (begun & on_end).reshape(len(delta), *(1,) * (axis - 1), -1, *(1,) * (len(axes) - axis))
        return inside

    def rounding(self, like: Images) -> PerImage:
        """Return 0: what lies outside the box must not change at all."""
        return torch.zeros_like(like.flatten(1)[:, 0])

    def project(self, delta: Images) -> Images:
        """Return the perturbation inside the box where it is largest (in Euclidean norm), and 0 outside."""
        return self._keep(delta, delta.square())

    def sample(self, like: Images, rng: torch.Generator) -> Images:
        """Return numbers drawn uniformly from [-1, 1], in boxes at uniform places.

        Args:
            like: Gives the shape, type and device.
            rng: CPU generator; drawn on the CPU, then moved.
        """
        space, sides = like.shape[2:], self.sides(like.shape[2:])
        if 0 in sides:
            return torch.zeros_like(like)
        drawn = torch.rand(len(like), len(space), generator=rng).to(like)
        values = torch.rand(like.shape, generator=rng).to(like) * 2 - 1
        index = window_index(space, sides, window_corners(space, sides, drawn))
        return put(torch.zeros_like(like), index, cut(values, index))

    def steepest(self, gradient: Images) -> Images:
        """Return the signs of the gradient in the box where its absolute values sum to most, and 0 outside."""
        return self._keep(gradient.sign(), gradient.abs())

    def _keep(self, values: Images, weights: Images) -> Images:
        space, sides = values.shape[2:], self.sides(values.shape[2:])
        if 0 in sides:
            return torch.zeros_like(values)
        index = window_index(space, sides, best_corners(weights, sides))
        return put(torch.zeros_like(values), index, cut(values, index))


def window_sums(weights: Images, sides: Sequence[int]) -> Tensor:
    """Return the sum over all channels in every box of these sides, ``[image, *place]``, in double precision."""
    sums = weights.double().sum(1)
    for axis, side in enumerate(sides, start=1):
        running = torch.cat([torch.zeros_like(sums.narrow(axis, 0, 1)), sums.cumsum(axis)], dim=axis)
        places = sums.shape[axis] - side + 1
        sums = running.narrow(axis, side, places) - running.narrow(axis, 0, places)
    return sums


def best_corners(weights: Images, sides: Sequence[int]) -> Tensor:
    """Return the first corner of the box where the weights sum to most, ``[image, axis]``."""
    sums = window_sums(weights, sides)
    return torch.stack(torch.unravel_index(sums.flatten(1).argmax(1), sums.shape[1:]), dim=1)
