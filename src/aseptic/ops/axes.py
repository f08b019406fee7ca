"""Linear maps of images that act along one space axis after the other, so that images and volumes are alike.

Each map is a matrix ``[out, in]`` for one axis: resizing, framing, smoothing, low-pass. A product of matrices has
gradients without a rounding order that changes from run to run, which interpolation kernels of accelerators do not.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from aseptic.core.types import Images, Number


def along(images: Images, matrices: Sequence[Tensor]) -> Tensor:
    """Return the images with one matrix applied along each space axis.

    Args:
        images: What is changed, differentiably.
        matrices: One for each space axis: ``[out, in]``, or ``[batch, out, in]`` where every image has its own.
    """
    for axis, matrix in enumerate(matrices, start=2):
        moved = images.movedim(axis, -1)
        lines = moved.reshape(len(images), math.prod(moved.shape[1:-1]), moved.shape[-1])
        mapped = lines @ matrix.to(images).transpose(-1, -2)
        images = mapped.reshape(*moved.shape[:-1], mapped.shape[-1]).movedim(-1, axis)
    return images


def resizing(length: int, size: int) -> Tensor:
    """Return the matrix ``[size, length]`` of linear interpolation between pixel centres, without antialiasing.

    >>> resizing(2, 4)[:, 0].tolist()
    [1.0, 0.75, 0.25, 0.0]
    """
    places = ((torch.arange(size, dtype=torch.float64) + 0.5) * length / size - 0.5).clamp(0, length - 1)
    return (1 - (places[:, None] - torch.arange(length)).abs()).clamp(min=0)


def framing(length: int, size: int, offset: int, whole: int) -> Tensor:
    """Return the matrix ``[length, length]`` that shrinks or enlarges to ``size``, frames and brings back.

    Args:
        length: Values along the axis, before and after.
        size: Values that the content is resized to.
        offset: Zeros in front of the content.
        whole: Values with the frame; these are resized to ``length``.
    """
    framed = torch.zeros(whole, length, dtype=torch.float64)
    framed[offset : offset + size] = resizing(length, size)
    return resizing(whole, length) @ framed


def smoothing(length: int, kernel: Tensor) -> Tensor:
    """Return the matrix ``[length, length]`` of a correlation with the kernel, zeros beyond the ends.

    Args:
        length: Values along the axis.
        kernel: An odd number of weights.
    """
    places = torch.arange(length)
    reach = places - places[:, None] + len(kernel) // 2
    inside = (reach >= 0) & (reach < len(kernel))
    return kernel.double()[reach.clamp(0, len(kernel) - 1)] * inside


def gaussian(size: int, spread: Number) -> Tensor:
    """Return ``size`` weights of a Gaussian cut at ``spread`` standard deviations, with sum 1.

    >>> [round(weight, 3) for weight in gaussian(3, 1.0).tolist()]
    [0.274, 0.452, 0.274]
    """
    weights = (-0.5 * torch.linspace(-spread, spread, size, dtype=torch.float64) ** 2).exp()
    return weights / weights.sum()


def low_pass(length: int, dropped: Number) -> Tensor:
    """Return the matrix ``[length, length]`` that removes the highest frequencies of the cosine transform (DCT-II).

    Args:
        length: Values along the axis.
        dropped: Fraction of the frequencies that is removed, rounded down.
    """
    waves = cosines(length, length - int(dropped * length))
    return waves.T @ waves


def cosines(length: int, count: int) -> Tensor:
    """Return the matrix ``[count, length]`` of the lowest frequencies of the orthonormal cosine transform (DCT-II).

    >>> [round(value, 3) for value in cosines(4, 2)[1].tolist()]
    [0.653, 0.271, -0.271, -0.653]
    """
    frequency = torch.arange(count, dtype=torch.float64)
    waves = torch.cos(math.pi / length * (torch.arange(length) + 0.5) * frequency[:, None])
    return waves / (waves * waves).sum(1, keepdim=True).sqrt()
