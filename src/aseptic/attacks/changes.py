"""Changes of images that transfer methods average gradients over: each is drawn for each image from its own stream."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.types import Images, Number
from aseptic.ops.axes import along, framing, low_pass, resizing

Block = Float[Tensor, "channel *space"]
"""A part of one image."""
DROPPED = {"values": 0.1, "frequencies": 0.4}
"""Fractions that changes of blocks remove (Wang et al., 2023)."""
SHRUNK = 0.8
"""Fraction of its size that a block is resized to and back (Wang et al., 2023)."""


def draw_frames(
    space: Sequence[int], rng: Sequence[torch.Generator], rate: Number, probability: Number
) -> list[Float[Tensor, "batch length length"]]:
    """Return one map along each axis, for each image: resized at random, framed with zeros at a random place, or not.

    Above 1 the content grows to at most ``rate`` of its size and the framed image is brought back; below 1 it shrinks
    to no less than ``rate`` of its size inside an image of the same size.

    Args:
        space: Space axes of the images.
        rng: One stream for each image; each draws the same number of values whatever comes out.
        rate: Largest or smallest size, as a fraction of the image's.
        probability: How often an image is changed at all.
    """
    drawn = [torch.rand(2 + len(space), generator=own, dtype=torch.float64).tolist() for own in rng]
    return [
        torch.stack(
            [
                _frame(length, rate, one[1], one[2 + axis]) if one[0] < probability else torch.eye(length).double()
                for one in drawn
            ]
        )
        for axis, length in enumerate(space)
    ]


def _frame(length: int, rate: Number, size: float, place: float) -> Tensor:
    """Return the map along one axis; ``size`` and ``place`` are in [0, 1)."""
    near = 1e-9  # a product like 1.1 * 10 is not above 11
    least, whole = min(length, math.floor(rate * length + near)), max(length, math.ceil(rate * length - near))
    inside = max(1, least + int(size * (whole - least)))
    return framing(length, inside, int(place * (whole - inside + 1)), whole)


def blockwise(images: Images, rng: Sequence[torch.Generator], blocks: int, noise: Number) -> Images:
    """Return the images cut into ``blocks`` parts along each axis at random places, each part changed by itself.

    A part is shifted around, flipped along an axis, turned by 180 degrees in a plane, scaled, resized and brought back,
    freed of high frequencies, freed of some values, or made noisy: one of these, all equally likely.

    Args:
        images: What is changed, differentiably.
        rng: One stream for each image.
        blocks: Parts along each axis, fewer where the axis has fewer values.
        noise: Largest absolute value of the noise, in image units.
    """
    return torch.cat([_patchwork(image, own, blocks, noise)[None] for image, own in zip(images, rng, strict=True)])


def _patchwork(image: Block, rng: torch.Generator, blocks: int, noise: Number) -> Tensor:
    widths = []
    for length in image.shape[1:]:
        cuts = (torch.randperm(length - 1, generator=rng)[: blocks - 1] + 1).sort().values.tolist()
        widths.append([after - before for before, after in zip([0, *cuts], [*cuts, length], strict=True)])

    possible = changes(image.ndim - 1, noise)

    def changed(part: Block, axis: int) -> Tensor:
        if axis == part.ndim:
            return possible[int(torch.randint(len(possible), (1,), generator=rng))](part, rng)
        return torch.cat([changed(one, axis + 1) for one in torch.split(part, widths[axis - 1], axis)], axis)

    return changed(image, 1)


def changes(space: int, noise: Number) -> list[Callable[[Block, torch.Generator], Tensor]]:
    """Return what may happen to a block with so many space axes: ten changes of images, fourteen of volumes."""
    axes = range(1, space + 1)
    return [
        *(partial(_shift, axis=axis) for axis in axes),
        *(partial(_flip, axes=(axis,)) for axis in axes),
        *(partial(_flip, axes=plane) for plane in combinations(axes, 2)),
        _scale,
        _resize,
        _smooth,
        _drop,
        partial(_add_noise, noise=noise),
    ]


def _shift(block: Block, rng: torch.Generator, *, axis: int) -> Tensor:
    return block.roll(int(torch.randint(block.shape[axis], (1,), generator=rng)), axis)


def _flip(block: Block, rng: torch.Generator, *, axes: tuple[int, ...]) -> Tensor:
    """Flip along each of the axes; two of them are half a turn."""
    del rng
    return block.flip(axes)


def _scale(block: Block, rng: torch.Generator) -> Tensor:
    return block * torch.rand((), generator=rng).to(block)


def _resize(block: Block, rng: torch.Generator) -> Tensor:
    del rng
    sizes = [(length, int(SHRUNK * length) + 1) for length in block.shape[1:]]
    return along(block[None], [resizing(small, length) @ resizing(length, small) for length, small in sizes])[0]


def _smooth(block: Block, rng: torch.Generator) -> Tensor:
    del rng
    return along(block[None], [low_pass(length, DROPPED["frequencies"]) for length in block.shape[1:]])[0]


def _drop(block: Block, rng: torch.Generator) -> Tensor:
    """Set some values to 0 and keep the mean of the rest, as dropout does."""
    kept = torch.rand(block.shape, generator=rng) >= DROPPED["values"]
    return block * (kept / (1 - DROPPED["values"])).to(block)


def _add_noise(block: Block, rng: torch.Generator, *, noise: Number) -> Tensor:
    return block + ((2 * torch.rand(block.shape, generator=rng) - 1) * noise).to(block)
