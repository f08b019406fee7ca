"""The lowest frequencies of images, by products with a few cosines and sines along each axis.

Where only a small window of the spectrum matters, this costs less than the Fourier transform of the whole image: of
224 x 224 pixels and up to 22 periods, 46 waves along an axis in place of 224. Every image is a product of its own, so
that it comes out the same alone as in a batch.
"""

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Complex
from torch import Tensor

from aseptic.core.types import Images

Spectrum = Complex[Tensor, "batch channel *frequency"]
"""Coefficients ``F(k)`` of the discrete Fourier transform with every ``|k|`` up to a reach, of real images.

Along every space axis but the last: ``k`` = 0, 1, ... and then 0, -1, ... (0 stands twice); along the last: 0, 1, ...
(the others are conjugates). An axis shorter than the window has all its frequencies, some of them twice.
"""
Magnitudes = Tensor
"""Sizes ``|F(k)|``, real, in the order of `Spectrum`."""


def low_spectrum(images: Images, reach: int) -> Spectrum:
    """Return the coefficients of frequencies up to ``reach`` periods along every axis."""
    waves = _waves(tuple(images.shape[2:]), reach, images.dtype, images.device)
    found = torch.bmm(_lines(images), waves[-1].T.expand(len(images), -1, -1))
    found = found.reshape(*images.shape[:-1], len(waves[-1]))
    for axis in range(images.ndim - 2, 1, -1):
        found = _along(found, axis, waves[axis - 2])
    cosine, sine = found.chunk(2, -1)
    spectrum = torch.complex(cosine, -sine)
    for axis in range(2, images.ndim - 1):
        cosine, sine = spectrum.chunk(2, axis)
        spectrum = torch.cat([cosine - 1j * sine, cosine + 1j * sine], axis)
    return spectrum


def add_spectrum(images: Images, spectrum: Spectrum, reach: int) -> Images:
    """Return the images plus the real image whose lowest frequencies these are, and which has no others."""
    space = tuple(images.shape[2:])
    waves = _waves(space, reach, images.dtype, images.device)
    parts = spectrum * _shares(space, reach, images.dtype, images.device)
    for axis in range(2, images.ndim - 1):
        above, below = parts.chunk(2, axis)
        parts = torch.cat([above + below, 1j * (above - below)], axis)
    found = torch.cat([parts.real, -parts.imag], -1)
    for axis in range(2, images.ndim - 1):
        found = _along(found, axis, waves[axis - 2].T)
    added = torch.bmm(_lines(found), waves[-1].expand(len(images), -1, -1))
    return added.add_(_lines(images)).reshape(images.shape)


def _lines(values: Tensor) -> Tensor:
    """Return the lines along the last axis, a matrix for each image."""
    return values.reshape(len(values), math.prod(values.shape[1:-1]), values.shape[-1])


def _along(values: Tensor, axis: int, matrix: Tensor) -> Tensor:
    """Return the values with a matrix applied along an axis, by a product of its own for each of its planes."""
    planes = math.prod(values.shape[:axis])
    flat = values.reshape(planes, values.shape[axis], math.prod(values.shape[axis + 1 :]))
    mapped = torch.bmm(matrix.expand(planes, -1, -1), flat)
    return mapped.reshape(*values.shape[:axis], len(matrix), *values.shape[axis + 1 :])


def magnitudes(spectrum: Spectrum) -> Magnitudes:
    """Return the sizes of the coefficients, rounded alike wherever they stand in memory."""
    return (spectrum.real.square() + spectrum.imag.square()).sqrt()


def _count(length: int, reach: int) -> int:
    """Return how many frequencies from 0 on there are along an axis."""
    return min(reach, length // 2) + 1


@lru_cache(maxsize=16)
def _waves(space: tuple[int, ...], reach: int, dtype: torch.dtype, device: torch.device) -> Sequence[Tensor]:
    """Return a matrix ``[wave, length]`` for each axis: its cosines, then its sines."""
    found = []
    for length in space:
        turns = torch.outer(torch.arange(_count(length, reach)), torch.arange(length)) % length
        angles = 2 * math.pi * turns.double() / length
        found.append(torch.cat([angles.cos(), angles.sin()]).to(device, dtype))
    return tuple(found)


@lru_cache(maxsize=16)
def _shares(space: tuple[int, ...], reach: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """Return what each coefficient of a `Spectrum` counts in the inverse transform."""
    found = torch.ones(())
    for axis, length in enumerate(space):
        each = torch.full((_count(length, reach),), 1 / length, dtype=torch.float64)
        each[0] /= 2  # stands twice, or is its own conjugate
        if length % 2 == 0 and reach >= length // 2:
            each[-1] /= 2
        each = 2 * each if axis == len(space) - 1 else torch.cat([each, each])
        found = found[..., None] * each
    return found.to(device, dtype)
