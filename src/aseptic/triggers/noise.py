"""Faint noise that is the same in every image: a static perturbation as a trigger (Liao et al., 2018)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.rng import stream
from aseptic.core.types import Images
from aseptic.triggers.base import Level, Streams, Trigger, check_unit, overlaid, streams_of
from aseptic.triggers.patterns import check_side, random_pattern


@dataclass(frozen=True, kw_only=True)
class Noise(Trigger):
    """Add a fixed draw from the uniform distribution over ``[-amplitude, amplitude]``, and clip to [0, 1].

    Paper: https://arxiv.org/abs/1808.10307, the static perturbation.
    Departs from it: a random pattern, drawn for each channel, in place of a regular one.
    Blind to: any resizing afterwards, which averages it away; insert it at the size that the network sees.
    """

    placed: ClassVar[bool] = False

    amplitude: Level = 8 / 255
    """Largest change of a value, in image units."""
    seed: int = 0
    """Root seed of the pattern."""
    side: int | None = None
    """Side of the grid that the pattern is drawn on; its cells grow or shrink with the image. None: the image's own
    pixels, so that images of different sizes carry different patterns."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_unit(amplitude=self.amplitude)
        check_side(self.side)

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the noise added."""
        del streams
        return overlaid(images, _fixed(self, images.shape[1], tuple(images.shape[2:])))

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with another draw added, a new one for each."""
        shape, space = images.shape[1], tuple(images.shape[2:])
        drawn = [self.pattern(shape, space, own) for own in streams_of(streams, images)]
        return overlaid(images, torch.stack(drawn)) if drawn else images.clone()

    def pattern(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Tensor:
        """Return one draw, ``[channel, *space]``."""
        return (2 * random_pattern(channels, space, self.side, rng) - 1) * self.amplitude


@lru_cache(maxsize=8)
def _fixed(trigger: Noise, channels: int, space: tuple[int, ...]) -> Tensor:
    return trigger.pattern(channels, space, stream(trigger.seed, "noise"))
