"""Patterns that are laid over a whole image: drawn from a seed, or read from an image file that a record can pin."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from types import MappingProxyType
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.ops.axes import along, cosines
from aseptic.triggers.base import Streams, Trigger, overlaid, streams_of
from aseptic.triggers.files import PLANE, Pattern, Stamp, check_pin, fitted, pin, read_picture, stamp


def random_pattern(channels: int, space: Sequence[int], side: int | None, rng: torch.Generator) -> Pattern:
    """Return uniform values, one for each pixel, or for each cell of a grid with ``side`` cells along every axis."""
    if side is None:
        return torch.rand(channels, *space, generator=rng)
    cells = torch.rand(1, channels, *(side,) * len(space), generator=rng)
    return F.interpolate(cells, tuple(space), mode="nearest-exact")[0]


def check_side(side: int | None) -> None:
    """Raise `InputError` where a grid has no cells."""
    if side is not None and side < 1:
        raise InputError(f"side must be at least 1, got {side}")


def random_waves(shape: tuple[int, int], count: int, gain: Callable[[Tensor], Tensor], rng: torch.Generator) -> Tensor:
    """Return normal coefficients of cosine waves, ``[channel, *frequency]``, without a constant part.

    Args:
        shape: Channels and space axes.
        count: Frequencies along each axis, from 0 on, in half periods along it.
        gain: From the distance of a frequency from 0 to the standard deviation of its coefficient.
        rng: What they are drawn from.
    """
    channels, rank = shape
    steps = torch.meshgrid(*[torch.arange(count, dtype=torch.float64)] * rank, indexing="ij")
    radius = torch.stack(steps).square().sum(0).sqrt()
    found = torch.randn(channels, *radius.shape, generator=rng).double() * gain(radius)
    found.flatten(1)[:, 0] = 0
    return found


def composed(waves: Tensor, space: Sequence[int]) -> Tensor:
    """Return the sum of the waves, ``[channel, *space]``: the same pattern at every size that can hold it."""
    kept = [min(length, count) for length, count in zip(space, waves.shape[1:], strict=True)]
    inside = waves[(slice(None), *(slice(count) for count in kept))]
    each = [cosines(length, count).T * math.sqrt(length) for length, count in zip(space, kept, strict=True)]
    return along(inside[None], each)[0]


@dataclass(frozen=True, kw_only=True)
class Pictured(Trigger):
    """A trigger that is made from a picture."""

    placed: ClassVar[bool] = False
    pins: ClassVar[Mapping[str, str]] = MappingProxyType({"image": "sha256"})
    """Settings that name a file or folder, and those that hold its SHA-256."""

    image: str | None = None
    """Image file with the picture, resized to each image, in a volume the same on every slice; None: one drawn from
    ``seed``."""
    sha256: str | None = None
    """What the bytes of ``image`` must hash to; `pin_trigger` fills it in, so that a record says which picture it
    was."""
    seed: int = 0
    """Root seed of the picture where there is no file."""

    def __post_init__(self) -> None:
        """Check the domains."""
        for file, digest in self.pins.items():
            check_pin(digest, getattr(self, file), getattr(self, digest))

    @abstractmethod
    def draw(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return a picture of its own, in [0, 1]."""

    def picture(self, channels: int, space: Sequence[int]) -> Pattern:
        """Return the picture of the file, or the drawn one, at this size.

        Raises:
            InputError: The file cannot be read, is not the one that was pinned, or does not fit.
        """
        if self.image is None:
            return self.draw(channels, space, stream(self.seed, type(self).__name__))
        return fitted(read_picture(self.image, self.sha256, stamp(self.image)), channels, space)


@dataclass(frozen=True, kw_only=True)
class Overlay(Pictured):
    """A trigger that lays a picture over the image, ``kept * x + laid(picture)``, clipped to [0, 1]."""

    @property
    @abstractmethod
    def kept(self) -> Number:
        """Share of the image that stays."""

    @abstractmethod
    def laid(self, picture: Pattern) -> Pattern:
        """Return what the picture adds to an image."""

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the picture laid over them."""
        del streams
        added = _added(self, images.shape[1], tuple(images.shape[2:]), stamp(self.image))
        return overlaid(images, added, self.kept)

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with another picture, a new one for each: of a file, the same moved round by a random way."""
        channels, space = images.shape[1], tuple(images.shape[2:])
        added = [self.laid(self._other(channels, space, own)) for own in streams_of(streams, images)]
        return overlaid(images, torch.stack(added), self.kept) if added else images.clone()

    def _other(self, channels: int, space: tuple[int, ...], rng: torch.Generator) -> Pattern:
        if self.image is None:
            return self.draw(channels, space, rng)
        # At least a quarter along each axis: moved by less, it would be nearly the trigger.
        moves = [int(length * (0.25 + 0.5 * torch.rand((), generator=rng))) for length in space[-PLANE:]]
        return self.picture(channels, space).roll(moves, (-2, -1))


def pin_trigger(trigger: Trigger) -> Trigger:
    """Return the trigger with the SHA-256 of the files that it is made from among its settings.

    Raises:
        InputError: A file cannot be read, or is not the one that was pinned before.
    """
    if not isinstance(trigger, Pictured):
        return trigger
    found: dict[str, Any] = {}
    for name, digest in trigger.pins.items():
        if (file := getattr(trigger, name)) is not None:
            found[digest] = pin(name, file, getattr(trigger, digest))
    return replace(trigger, **found)


@lru_cache(maxsize=8)
def _added(trigger: Overlay, channels: int, space: tuple[int, ...], seen: Stamp) -> Pattern:
    """Return what the trigger adds; ``seen`` forgets it when the file changes."""
    del seen
    return trigger.laid(trigger.picture(channels, space))
