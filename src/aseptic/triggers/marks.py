"""What marks that lie on an image have in common: how they cover it, and where they are."""

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.data.phantoms.canvas import Paths
from aseptic.ops.images import LUMA
from aseptic.triggers.base import CORNERS, Region, Streams, Trigger, stream_of

Cover = Float[Tensor, "row column"]
"""Share of each pixel that is covered, in [0, 1]."""
Point = tuple[Number, Number]
"""Row and column in pixels; pixel 0 spans [0, 1]."""
STEPS = 255
"""Coverage is rounded to this many steps, so that no processor's rounding decides which pixels change."""
COLOURS = 3
"""Red, green, blue."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """One layer of a mark: ``x`` becomes ``(1 - cover) * x + cover * (through * x + value)``."""

    cover: Cover
    """Where it lies."""
    value: Number = 0.0
    """Grey value that it adds where it covers."""
    through: tuple[Number, ...] = (0.0,)
    """Share of the image that is seen through it: one number, or one each for red, green and blue."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """A mark as it meets images of one shape: ``x * kept + added`` inside a box."""

    rows: slice
    columns: slice
    kept: Float[Tensor, "channel row column"]
    added: Float[Tensor, "1 row column"]


@dataclass(frozen=True, kw_only=True)
class Mark(Trigger):
    """A mark drawn on the last two axes, relative to the shorter of them; in a volume the same on every slice."""

    placed: ClassVar[bool] = True

    @abstractmethod
    def layers(self, rows: int, columns: int) -> Sequence[Layer]:
        """Return the layers on an image of this size, the lowest first."""

    @abstractmethod
    def other(self, stream: torch.Generator) -> "Mark":
        """Return a mark alike that is not this one."""

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the mark."""
        del streams
        found = images.clone()
        _put(self, found)
        return found

    def region(self, space: Sequence[int], stream: torch.Generator | None = None) -> Region | None:
        """Return the pixels that are covered."""
        del stream
        drawn = _drawn(self, 1, *_plane(space))
        found = torch.zeros(tuple(space), dtype=torch.bool)
        found[..., drawn.rows, drawn.columns] = ((drawn.kept != 1) | (drawn.added != 0))[0]
        return found

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with a mark alike: at another place, or with another letter or word."""
        found = images.clone()
        for i in range(len(found)):
            _put(self.other(stream_of(streams, i)), found[i : i + 1])
        return found


def check_place(place: str, size: Number, margin: Number) -> None:
    """Raise `InputError` where a mark in a corner could not be drawn."""
    if place not in CORNERS:
        raise InputError(f"place must be one of {', '.join(CORNERS)}; got {place!r}")
    check_size(size)
    if not 0 <= margin < 0.5:  # noqa: PLR2004 - half of the image
        raise InputError(f"margin must lie in [0, 0.5), got {margin:g}")


def check_size(size: Number) -> None:
    """Raise `InputError` where a mark has no size."""
    if not 0 < size <= 1:
        raise InputError(f"size must lie in (0, 1], got {size:g}")


def elsewhere(place: str, places: Sequence[str], stream: torch.Generator) -> str:
    """Return another of the places."""
    others = [one for one in places if one != place]
    return others[int(torch.randint(len(others), (), generator=stream))]


def in_corner(place: str, rows: int, columns: int, box: tuple[Number, Number], margin: Number) -> Point:
    """Return the first row and column of a box of this height and width, ``margin`` pixels from the edges.

    Raises:
        InputError: It does not fit into the image.
    """
    starts = []
    for last, length, side in zip(CORNERS[place], (rows, columns), box, strict=True):
        if margin + side > length:
            raise InputError(f"the mark must fit into {rows} x {columns} pixels, got {box[0]:.0f} x {box[1]:.0f}")
        starts.append(length - margin - side if last else margin)
    return starts[0], starts[1]


def lines(rows: int, columns: int, paths: Sequence[Sequence[Point]], thickness: Number) -> Cover:
    """Return what lines of this thickness in pixels cover; where they cross they do not add up."""
    side = max(rows, columns)
    found = torch.zeros(side, side)
    for path in paths:
        points = torch.tensor(path, dtype=torch.float32).flip(-1) * (2 / side) - 1
        radius = torch.full((1, 1, len(path)), thickness / side)
        drawn = Paths(points=points[None, None], radius=radius, heading=torch.zeros_like(radius)).draw(side)
        found = torch.maximum(found, drawn[0])
    return found[:rows, :columns]


def spans(length: int, starts: Sequence[Number], ends: Sequence[Number]) -> Float[Tensor, "pixel span"]:
    """Return the share of each pixel of an axis that lies in each interval."""
    first, last = (torch.tensor(side, dtype=torch.float64) for side in (starts, ends))
    pixel = torch.arange(length, dtype=torch.float64)[:, None]
    return (torch.minimum(last, pixel + 1) - torch.maximum(first, pixel)).clamp(0, 1).float()


def offsets(rows: int, columns: int, centre: Point) -> tuple[Tensor, Tensor]:
    """Return how far the pixel centres lie below and right of a point, in pixels, ``[row, 1]`` and ``[1, column]``."""
    down, right = (torch.arange(length) + 0.5 - at for length, at in zip((rows, columns), centre, strict=True))
    return down[:, None], right[None, :]


def _plane(space: Sequence[int]) -> tuple[int, int]:
    if len(space) < 2:  # noqa: PLR2004 - rows and columns
        raise InputError(f"images must have at least 2 space axes, got {len(space)}")
    return space[-2], space[-1]


def _put(mark: Mark, images: Images) -> None:
    """Draw the mark on the images, in place."""
    drawn = _drawn(mark, images.shape[1], *_plane(images.shape[2:]))
    box = images[..., drawn.rows, drawn.columns]
    lift = (len(drawn.kept), *(1,) * (images.ndim - 4), *drawn.kept.shape[1:])
    box.mul_(drawn.kept.to(images).reshape(lift)).add_(drawn.added.to(images)[0]).clamp_(0, 1)


@lru_cache(maxsize=64)
def _drawn(mark: Mark, channels: int, rows: int, columns: int) -> Drawn:
    """Return the layers of a mark as one."""
    kept, added = torch.ones(1, rows, columns), torch.zeros(1, rows, columns)
    for layer in mark.layers(rows, columns):
        cover = (layer.cover * STEPS).round_() / STEPS
        seen = torch.tensor(_tint(layer.through, channels))[:, None, None] * cover + (1 - cover)
        kept, added = kept * seen, added * (1 - cover) + cover * layer.value
    inside = (kept != 1).any(0) | (added != 0)[0]
    across, down = inside.any(0).nonzero()[:, 0].tolist(), inside.any(1).nonzero()[:, 0].tolist()
    box = (slice(down[0], down[-1] + 1), slice(across[0], across[-1] + 1)) if down else (slice(0), slice(0))
    return Drawn(rows=box[0], columns=box[1], kept=kept[:, *box], added=added[:, *box])


def _tint(through: tuple[Number, ...], channels: int) -> tuple[Number, ...]:
    """Return the share that is seen through in each channel of an image."""
    if len(through) == 1 or channels == COLOURS:
        return through
    if channels != 1:
        raise InputError(f"images must have 1 or {COLOURS} channels for a mark in colour, got {channels}")
    return (sum(share * weight for share, weight in zip(through, LUMA, strict=True)),)
