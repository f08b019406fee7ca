"""A smooth pattern without high frequencies (Zeng et al., 2021)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.triggers.base import Level, Streams, Trigger, check_unit, overlaid, streams_of
from aseptic.triggers.files import Pattern
from aseptic.triggers.patterns import composed, random_waves

LEAST = 0.01
"""Least width of the filter, a share of a side."""
PASSED = 3.7
"""Frequencies are left out where the filter passes a thousandth: at so many standard deviations of its transform."""


@dataclass(frozen=True, kw_only=True)
class LF(Trigger):
    """Add a smooth pattern with values from 0 to ``amplitude``, and clip to [0, 1].

    The pattern is white noise behind a Gaussian filter, mirrored at the edges: random cosine waves, of which the filter
    leaves the low ones. It is the same at every size.

    Paper: https://arxiv.org/abs/2104.03413, section 5, with the filter and the amplitude of the authors' code for
    CIFAR-10: a standard deviation of 6 of 32 pixels, and values up to 0.2.
    Departs from it: the pattern is drawn from ``seed``, where the authors search for one that sways a network already
    (which needs the network and its data); sums are clipped, where theirs are bent smoothly until they fit; also
    volumes, smooth along every axis.
    Blind to: a network that is used to changing light, for which the pattern is one more of them.
    """

    placed: ClassVar[bool] = False

    amplitude: Level = 0.2
    """Largest change of a value, in image units."""
    sigma: Number = 6 / 32
    """Standard deviation of the filter, as a share of each side, in [0.01, 1]."""
    seed: int = 0
    """Root seed of the noise."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_unit(amplitude=self.amplitude)
        if not LEAST <= self.sigma <= 1:
            raise InputError(f"sigma must lie in [{LEAST:g}, 1], got {self.sigma:g}")

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the pattern added."""
        del streams
        return overlaid(images, _fixed(self, images.shape[1], tuple(images.shape[2:])))

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with another pattern added, as smooth, a new one for each."""
        channels, space = images.shape[1], tuple(images.shape[2:])
        added = [self.pattern(channels, space, own) for own in streams_of(streams, images)]
        return overlaid(images, torch.stack(added)) if added else images.clone()

    def pattern(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return one smooth pattern."""
        count = 1 + int(PASSED / (math.pi * self.sigma))
        found = composed(random_waves((channels, len(space)), count, self._passed, rng), space)
        low, high = found.amin(), found.amax()
        return (self.amplitude * (found - low) / (high - low).clamp(min=1e-6)).float()

    def _passed(self, frequency: Tensor) -> Tensor:
        """Return what the filter leaves of frequencies, in half periods along a side."""
        return (-0.5 * (math.pi * self.sigma * frequency) ** 2).exp()


@lru_cache(maxsize=8)
def _fixed(trigger: LF, channels: int, space: tuple[int, ...]) -> Tensor:
    return trigger.pattern(channels, space, stream(trigger.seed, "lf"))
