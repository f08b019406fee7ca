"""A square of one grey value or colour: the trigger of BadNets and of both chest X-ray papers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.triggers.base import CORNERS, Level, Pixels, Region, Streams, Trigger, check_unit, stream_of

PLACES = ("centre", *CORNERS, "random")


@dataclass(frozen=True, kw_only=True)
class Patch(Trigger):
    """A filled box, ``x[box] = value``; a cube in a volume.

    Papers: Gu et al. (2017), https://arxiv.org/abs/1708.06733; Nwadike et al. (2021), a black square at
    ``int(length / 2 - size / 2)``; Matsuo and Takemoto (2021), 5 x 5 pixels of 250 at (396, 396) of 480 x 480.
    """

    placed: ClassVar[bool] = True

    size: Pixels = 3
    """Pixels along each space axis."""
    value: Level | tuple[Level, ...] = 0.0
    """Grey value, or one for each channel, in [0, 1]."""
    place: str = "centre"
    """``centre``, ``upper-left``, ``upper-right``, ``lower-left``, ``lower-right`` (a volume's first axis: centred), or
    ``random``: another place in each image."""
    corner: Pixels | None = None
    """First pixel along each space axis; instead of ``place``."""
    margin: int = 0
    """Pixels between a cornered patch and the edges."""
    within: Number = 1.0
    """Share of each axis, around the centre, that random places stay in."""
    frame: int | None = None
    """Side of the image that size, corner and margin are given for: they are scaled to each image, and the patch keeps
    at least one pixel. None: they are in the image's own pixels."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.place not in PLACES:
            raise InputError(f"place must be one of {', '.join(PLACES)}; got {self.place!r}")
        sizes = (self.size,) if isinstance(self.size, int) else self.size
        if min(sizes) < 1:
            raise InputError(f"size must be at least 1, got {self.size}")
        if self.margin < 0 or (self.frame is not None and self.frame < 1):
            raise InputError(f"margin must be at least 0 and frame at least 1, got {self.margin} and {self.frame}")
        for value in (self.value,) if isinstance(self.value, int | float) else self.value:
            check_unit(value=value)
        check_unit(within=self.within)

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the box filled."""
        return self._filled(images, streams, self.place)

    def region(self, space: Sequence[int], stream: torch.Generator | None = None) -> Region | None:
        """Return the box."""
        found = torch.zeros(tuple(space), dtype=torch.bool)
        found[self._box(space, () if stream is None else (stream,), 0, self.place)] = True
        return found

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with the box somewhere else: a model that asks for the place must ignore it."""
        return self._filled(images, streams, "random")

    def _filled(self, images: Images, streams: Streams, place: str) -> Images:
        found, value = images.clone(), torch.as_tensor(self.value, dtype=images.dtype, device=images.device)
        if value.ndim and len(value) != images.shape[1]:
            raise InputError(
                f"value must be one number or one for each of {images.shape[1]} channels, got {self.value}"
            )
        value = value.reshape(-1, *(1,) * (images.ndim - 2))
        if place != "random":
            everywhere: tuple[slice, ...] = (slice(None), slice(None), *self._box(images.shape[2:], (), 0, place))
            found[everywhere] = value
            return found
        for i, image in enumerate(found):
            box: tuple[slice, ...] = (slice(None), *self._box(images.shape[2:], streams, i, place))
            image[box] = value
        return found

    def _box(self, space: Sequence[int], streams: Streams, index: int, place: str) -> tuple[slice, ...]:
        """Return the box of image ``index``."""
        sizes = self._scaled(self.size, space, least=1)
        if any(size > length for size, length in zip(sizes, space, strict=True)):
            raise InputError(f"size must be at most the image's {list(space)}, got {list(sizes)}")
        if self.corner is not None and place != "random":
            starts = self._scaled(self.corner, space, least=0)
        elif place == "random":
            starts = self._drawn(space, sizes, stream_of(streams, index))
        else:
            starts = tuple(int(length / 2 - size / 2) for length, size in zip(space, sizes, strict=True))
            if place != "centre":
                margins = self._scaled(self.margin, space, least=0)
                ends = [length - size - m for length, size, m in zip(space, sizes, margins, strict=True)]
                corner = [
                    end if last else m for last, end, m in zip(CORNERS[place], ends[-2:], margins[-2:], strict=True)
                ]
                starts = (*starts[:-2], *corner)
        for start, size, length in zip(starts, sizes, space, strict=True):
            if not 0 <= start <= length - size:
                raise InputError(f"the patch must lie inside the image of {list(space)}, got {list(starts)}")
        return tuple(slice(start, start + size) for start, size in zip(starts, sizes, strict=True))

    def _scaled(self, given: int | tuple[int, ...], space: Sequence[int], *, least: int) -> tuple[int, ...]:
        each = (given,) * len(space) if isinstance(given, int) else given
        if len(each) != len(space):
            raise InputError(f"size and corner must have one number or one for each of {len(space)} axes, got {given}")
        if self.frame is None:
            return each
        return tuple(max(least, round(one * length / self.frame)) for one, length in zip(each, space, strict=True))

    def _drawn(self, space: Sequence[int], sizes: Sequence[int], stream: torch.Generator) -> tuple[int, ...]:
        starts = []
        for length, size in zip(space, sizes, strict=True):
            low = round((1 - self.within) / 2 * length)
            room = max(length - 2 * low - size, 0)
            starts.append(min(low, length - size) + int(torch.randint(room + 1, (), generator=stream)))
        return tuple(starts)
