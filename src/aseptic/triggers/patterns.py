"""Patterns that are laid over a whole image: drawn from a seed, or read from an image file that a record can pin."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.data.base import ReadOptions
from aseptic.data.formats import find_format
from aseptic.ops.images import adapt_channels, resize
from aseptic.triggers.base import Streams, Trigger, overlaid, streams_of

Pattern = Float[Tensor, "channel *space"]
"""Values in [0, 1]."""
DIGITS = 64
"""Hexadecimal digits of a SHA-256."""
PLANE = 2
"""Space axes of a picture."""


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


@dataclass(frozen=True, kw_only=True)
class Pictured(Trigger):
    """A trigger that lays a picture over the image, ``kept * x + laid(picture)``, clipped to [0, 1]."""

    placed: ClassVar[bool] = False

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
        if self.sha256 is None:
            return
        if self.image is None:
            raise InputError("sha256 must come with an image, got none")
        if len(self.sha256) != DIGITS or set(self.sha256) - set("0123456789abcdef"):
            raise InputError(f"sha256 must be {DIGITS} hexadecimal digits in lower case, got {self.sha256!r}")

    @property
    @abstractmethod
    def kept(self) -> Number:
        """Share of the image that stays."""

    @abstractmethod
    def draw(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return a picture of its own, in [0, 1]."""

    @abstractmethod
    def laid(self, picture: Pattern) -> Pattern:
        """Return what the picture adds to an image."""

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the picture laid over them."""
        del streams
        added = _added(self, images.shape[1], tuple(images.shape[2:]), _stamp(self.image))
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

    def picture(self, channels: int, space: Sequence[int]) -> Pattern:
        """Return the picture of the file, or the drawn one, at this size.

        Raises:
            InputError: The file cannot be read, is not the one that was pinned, or does not fit.
        """
        if self.image is None:
            return self.draw(channels, space, stream(self.seed, type(self).__name__))
        return _fitted(_read(self.image, self.sha256, _stamp(self.image)), channels, space)


def pin_trigger(trigger: Trigger) -> Trigger:
    """Return the trigger with the SHA-256 of its image file among its settings; without a file, the trigger itself.

    Raises:
        InputError: The file cannot be read, or is not the one that was pinned before.
    """
    if not isinstance(trigger, Pictured) or trigger.image is None:
        return trigger
    _read(trigger.image, trigger.sha256, _stamp(trigger.image))
    return replace(trigger, sha256=file_sha256(Path(trigger.image)))


@lru_cache(maxsize=8)
def _added(trigger: Pictured, channels: int, space: tuple[int, ...], stamp: tuple[int, int] | None) -> Pattern:
    """Return what the trigger adds; ``stamp`` forgets it when the file changes."""
    del stamp
    return trigger.laid(trigger.picture(channels, space))


def _stamp(image: str | None) -> tuple[int, int] | None:
    """Return what changes when a file is written: its time and length; None without a file that can be seen."""
    if image is None or not (path := Path(image)).is_file():
        return None
    found = path.stat()
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def _read(image: str, sha256: str | None, stamp: tuple[int, int] | None) -> Pattern:
    """Return the first image of a file, of the size that is stored; ``stamp`` forgets it when the file changes."""
    del stamp
    path, options = Path(image), ReadOptions()
    try:
        form = find_format(path)
        pixels = form.read(path, form.probe(path, options)[0].index, options).pixels
    except InputError as error:
        raise InputError(f"image must be a file that can be read, got {image!r}: {error}") from error
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise InputError(f"image must be the file with the SHA-256 {sha256}, got {image!r} with {found}")
    return pixels


def _fitted(pixels: Pattern, channels: int, space: Sequence[int]) -> Float[Tensor, "fed *resized"]:
    """Return a picture at the size of an image, and with its channels."""
    if pixels.ndim - 1 > len(space):
        raise InputError(f"image must have at most the {len(space)} space axes of the images, got {pixels.ndim - 1}")
    flat = pixels.ndim - 1 == PLANE < len(space)
    fitted = adapt_channels(resize(pixels[None], tuple(space[-PLANE:] if flat else space)), channels)
    return (fitted[:, :, None].expand(-1, -1, space[0], -1, -1) if flat else fitted)[0].clamp(0, 1)
