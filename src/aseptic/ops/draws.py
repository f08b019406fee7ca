"""Random numbers for many images at once, each image from its own stream."""

from collections.abc import Sequence

import torch
from torch import Tensor

from aseptic.core.types import Images


def uniforms(rng: Sequence[torch.Generator], shape: Sequence[int], like: Images) -> Tensor:
    """Return numbers in [0, 1), ``[image, *shape]``: what an image gets does not depend on the others.

    Args:
        rng: One CPU stream for each image.
        shape: How many numbers each image gets.
        like: Gives type and device.
    """
    drawn = torch.empty(len(rng), *shape)
    for part, own in zip(drawn.unbind(), rng, strict=True):
        part.uniform_(generator=own)
    return drawn.to(like)


def normals(rng: Sequence[torch.Generator], shape: Sequence[int], like: Images) -> Tensor:
    """Return standard normal numbers, ``[image, *shape]``; otherwise as `uniforms`."""
    drawn = [torch.randn((1, *shape), generator=own) for own in rng]
    return torch.cat([torch.empty(0, *shape), *drawn]).to(like)
