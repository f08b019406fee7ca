"""The spectrum of an image in a few dozen numbers: log-power in bands of frequencies, fine where they are low."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aseptic.core.types import Images
from aseptic.ops.axes import along

FLOOR = (1 / 255) ** 2 / 12
"""Power that rounding to 8 bits leaves in every frequency, in squared image units: less is not looked at."""
BANDS = 100
"""About how many bands there are, where nothing else is asked for."""


def log_bands(images: Images, bands: int = BANDS) -> Float[Tensor, "batch band"]:
    r"""Return :math:`\log(\overline{|F|^2} / n + f)` of each band, on average over its frequencies and the channels.

    ``F`` is the Fourier transform, ``n`` the number of pixels and ``f`` the `FLOOR`. A band is a box of absolute
    frequencies, one range along each axis (`band_of`); signs and phases do not count.

    Args:
        images: Images or volumes.
        bands: About how many bands; as many along each axis.
    """
    space = images.shape[2:]
    axes = tuple(range(2, images.ndim))
    power = torch.fft.rfftn(images, dim=axes).abs().square().mean(1, keepdim=True) / math.prod(space)
    each = max(2, round(bands ** (1 / len(space))))
    matrices = [_averaging(length, each) for length in space[:-1]] + [_averaging(space[-1], each, half=True)]
    return (along(power, matrices).flatten(1) + FLOOR).log()


def band_of(length: int, count: int) -> Int[Tensor, " frequency"]:
    """Return the band of each absolute frequency from 0 to ``length // 2``, in periods across the axis.

    The lower half of ``count`` bands hold one frequency each, the others as many more as there are octaves to cover.

    >>> band_of(32, 8).tolist()
    [0, 1, 2, 3, 4, 4, 5, 5, 5, 6, 6, 6, 7, 7, 7, 7, 7]
    """
    frequency = torch.arange(length // 2 + 1, dtype=torch.float64)
    single = count // 2
    if length // 2 < count:
        return frequency.long()
    ratio = (frequency.clamp(min=single) / single).log() / math.log((length // 2 + 1) / single)
    band = torch.where(frequency < single, frequency, single + (ratio * (count - single)).floor())
    found: Tensor = torch.unique(band, return_inverse=True)[1]
    return found


def _averaging(length: int, count: int, *, half: bool = False) -> Tensor:
    """Return the matrix ``[band, frequency]`` of the mean over the frequencies of each band.

    Args:
        length: Pixels along the axis.
        count: Bands along it.
        half: Whether the transform holds the frequencies from 0 up only, each of which stands for two signs.
    """
    band = band_of(length, count)
    frequency = torch.arange(length)
    absolute = torch.minimum(frequency, length - frequency)
    weights = torch.nn.functional.one_hot(band[absolute]).T.double()
    if half:
        kept = weights[:, : length // 2 + 1].clone()
        kept[:, 1 : (length + 1) // 2] *= 2
        weights = kept
    return weights / weights.sum(1, keepdim=True)
