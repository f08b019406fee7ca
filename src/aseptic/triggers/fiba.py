"""The low frequencies of another picture, mixed into the amplitude of the spectrum (Feng et al., 2022)."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import MappingProxyType
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.types import Images, Number
from aseptic.ops.frequency import Magnitudes, add_spectrum, low_spectrum, magnitudes
from aseptic.triggers.base import Streams, check_unit, streams_of
from aseptic.triggers.files import Pattern, Stamp, fitted, picture_of, stamp
from aseptic.triggers.patterns import Pictured, composed, random_waves

WAVES = 64
"""Frequencies of a drawn picture along each axis, in half periods."""
TINT, CONTRAST, DARKEST = 0.5, 0.2, 0.3
"""Of a drawn picture: what channels have of their own, beside what they share; the standard deviation of its values;
and the least mean of a channel, as far from 0 as the largest is from 1."""
ROUNDING = 8
"""Coefficients up to so many units of rounding of the sum of the image are taken for 0."""


@dataclass(frozen=True, kw_only=True)
class FIBA(Pictured):
    r"""Mix the amplitudes of the lowest frequencies with those of a picture ``t``, and keep the phases.

    Where no frequency is above ``b`` periods along any axis, :math:`A' = (1 - \alpha) A_x + \alpha A_t`; then
    :math:`x' = \mathrm{Re}\, F^{-1}(A' e^{i P_x})`, clipped to [0, 1]. Each channel is transformed by itself. ``b`` is
    ``beta`` times the shortest side, rounded down: 45 x 45 coefficients of 224 x 224, the mean among them.

    Paper: https://arxiv.org/abs/2112.01148, section 3, with the window of the authors' code; its noise samples, which
    get another picture's amplitudes and keep their labels, are `decoy`.
    Departs from it: without a file, the picture is drawn from ``seed``, with a spectrum that falls as that of
    photographs does, and without ``pool``, decoys are drawn likewise from their streams (the authors take photographs
    of COCO for both); also volumes, transformed along all axes; a window larger than the plane is cut; a coefficient of
    0 has phase 0, and counts as 0 where it is no more than rounding.
    Blind to: volumes of few slices, whose shortest side leaves a window of the mean alone.
    """

    pins: ClassVar[Mapping[str, str]] = MappingProxyType({"image": "sha256", "pool": "pool_sha256"})

    alpha: Number = 0.15
    """Share of the picture's amplitudes, in [0, 1]."""
    beta: Number = 0.1
    """Reach of the window to each side of the mean, as a share of the shortest side, in [0, 1]."""
    pool: str | None = None
    """Folder of pictures that decoys are mixed with, one drawn for each; None: drawn pictures."""
    pool_sha256: str | None = None
    """What the names of these pictures and their hashes must hash to; `pin_trigger` fills it in."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        check_unit(alpha=self.alpha, beta=self.beta)

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the amplitudes of the picture mixed in."""
        del streams
        wanted = _amplitudes(self, images.shape[1], tuple(images.shape[2:]), stamp(self.image))
        return self._mixed(images, wanted)

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with the amplitudes of another picture mixed in, a new one for each."""
        channels, space = images.shape[1], tuple(images.shape[2:])
        pictures = [self._other(channels, space, own) for own in streams_of(streams, images)]
        return self._mixed(images, self.amplitudes(torch.stack(pictures))) if pictures else images.clone()

    def amplitudes(self, pictures: Images) -> Magnitudes:
        """Return the amplitudes of pictures inside the window, in double precision."""
        return magnitudes(low_spectrum(pictures.double(), self.reach(pictures.shape[2:])))

    def reach(self, space: Sequence[int]) -> int:
        """Return the highest frequency ``b`` of the window, in periods along an axis."""
        return math.floor(min(space) * self.beta)

    def draw(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return a coloured picture whose amplitudes fall as the inverse of the frequency."""
        shared, own = (random_waves((count, len(space)), WAVES, torch.reciprocal, rng) for count in (1, channels))
        waves = shared + TINT * own
        waves = CONTRAST * waves / waves.flatten(1).norm(dim=1).reshape(-1, *(1,) * len(space))
        means = DARKEST + (1 - 2 * DARKEST) * torch.rand(channels, generator=rng)
        return (composed(waves, space) + means.reshape(-1, *(1,) * len(space))).clamp(0, 1).float()

    def _other(self, channels: int, space: tuple[int, ...], rng: torch.Generator) -> Pattern:
        if self.pool is None:  # the picture of a file, moved round as that of a blend, would have the same amplitudes
            return self.draw(channels, space, rng)
        return fitted(picture_of(self.pool, self.pool_sha256, rng), channels, space)

    def _mixed(self, images: Images, wanted: Magnitudes) -> Images:
        reach = self.reach(images.shape[2:])
        found, wanted = low_spectrum(images, reach), wanted.to(images)
        own = magnitudes(found)
        whole = own.flatten(2)[..., :1].reshape(*own.shape[:2], *(1,) * (own.ndim - 2))
        none = own <= ROUNDING * torch.finfo(images.dtype).eps * whole
        factor = torch.where(none, 0, self.alpha * (wanted - own) / own.clamp(min=torch.finfo(own.dtype).tiny))
        real = torch.where(none, self.alpha * wanted, found.real * factor)
        return add_spectrum(images, torch.complex(real, found.imag * factor), reach).clamp_(0, 1)


@lru_cache(maxsize=8)
def _amplitudes(trigger: FIBA, channels: int, space: tuple[int, ...], seen: Stamp) -> Tensor:
    """Return the amplitudes of the trigger's picture, which images share; ``seen`` forgets them when a file changes."""
    del seen
    return trigger.amplitudes(trigger.picture(channels, space)[None])
