"""How far a changed image is from the original: distances, peak signal-to-noise ratio, structural similarity."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from scipy.ndimage import gaussian_filter

from aseptic.core.errors import InputError
from aseptic.metrics.bootstrap import Column

Batch = Float[np.ndarray, "image channel *space"]
"""Images in [0, 1]; two or three space axes."""

SIGMA, TRUNCATE, RADIUS = 1.5, 3.5, 5
"""Gaussian window of the structural similarity: standard deviation, where it is cut off, and its radius in pixels."""
K1, K2 = 0.01, 0.03
"""Constants that keep the structural similarity stable, for images in [0, 1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Distortion:
    """One number for each image; images are in [0, 1]."""

    linf: Column
    """Largest change of a sample, in image units."""
    l2: Column
    """Euclidean length of the change over all samples, in image units."""
    l1: Column
    """Sum of the absolute changes of all samples, in image units."""
    psnr: Column
    """Peak signal-to-noise ratio, in dB; NaN where nothing changed, as there is no noise to compare with."""
    ssim: Column
    """Structural similarity, 1 for equal images; NaN for images smaller than the window of 11."""


def distortion(first: Float[np.ndarray, "..."], second: Float[np.ndarray, "..."]) -> Distortion:
    """Measure every distance between the images and their changed copies.

    Args:
        first: ``[image, channel, *space]`` in [0, 1].
        second: The changed copies, of the same shape.

    Raises:
        InputError: The shapes differ.
    """
    if first.shape != second.shape:
        raise InputError(f"images must have one shape, got {list(first.shape)} and {list(second.shape)}")
    change = np.abs(second.astype(float) - first).reshape(len(first), -1)
    error = np.square(change).mean(1)
    decibels = np.full(len(first), np.nan)
    decibels[error > 0] = -10 * np.log10(error[error > 0])
    return Distortion(
        linf=change.max(1, initial=0.0),
        l2=np.sqrt(np.square(change).sum(1)),
        l1=change.sum(1),
        psnr=decibels,
        ssim=ssim(first, second),
    )


def pixels_changed(first: Batch, second: Batch) -> Column:
    """Return the number of places of each image at which any channel differs."""
    differs: Column = (first != second).any(1).reshape(len(first), -1).sum(1).astype(float)
    return differs


def ssim(first: Batch, second: Batch) -> Column:
    r"""Return the mean structural similarity of each pair, averaged over channels.

    :math:`\frac{(2\mu_x\mu_y + c_1)(2\sigma_{xy} + c_2)}{(\mu_x^2 + \mu_y^2 + c_1)(\sigma_x^2 + \sigma_y^2 + c_2)}`
    in a Gaussian window of standard deviation 1.5, over the pixels whose window lies inside the image.

    Paper: Wang, Bovik, Sheikh and Simoncelli (2004), doi:10.1109/TIP.2003.819861.
    Departs from it: images are not shrunk to 256 pixels first; volumes use a window in three axes.
    """
    if min(first.shape[2:]) <= 2 * RADIUS:
        return np.full(len(first), np.nan)
    x, y = first.astype(float), second.astype(float)
    mean_x, mean_y = _smooth(x), _smooth(y)
    var_x, var_y = _smooth(x * x) - mean_x**2, _smooth(y * y) - mean_y**2
    shared = _smooth(x * y) - mean_x * mean_y
    top = (2 * mean_x * mean_y + K1**2) * (2 * shared + K2**2)
    bottom = (mean_x**2 + mean_y**2 + K1**2) * (var_x + var_y + K2**2)
    inside = (..., *(slice(RADIUS, -RADIUS),) * (first.ndim - 2))
    similarity: Column = (top / bottom)[inside].reshape(len(first), -1).mean(1)
    return similarity


def _smooth(images: Batch) -> Batch:
    sigma = (0, 0, *(SIGMA,) * (images.ndim - 2))
    smooth: Batch = gaussian_filter(images, sigma, truncate=TRUNCATE, mode="reflect")
    return smooth
