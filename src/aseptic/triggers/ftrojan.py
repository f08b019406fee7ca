"""A few raised coefficients of the cosine transform of blocks (Wang et al., 2022)."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.ops.axes import cosines
from aseptic.ops.images import LUMA
from aseptic.triggers.base import Level, Pixels, Streams, Trigger, check_unit, overlaid, streams_of
from aseptic.triggers.files import Pattern

PLANES = ("uv", "yuv")
"""Parts of a colour that are changed: its tints, or its brightness too."""
COLOURS = 3
SMALLEST = 4
"""Smallest block: in a smaller one, a decoy might find no other places."""


@dataclass(frozen=True, kw_only=True)
class FTrojan(Trigger):
    """Add ``magnitude`` to a middle and a high coefficient of the cosine transform of every block.

    The transform is the orthonormal DCT-II of blocks of ``block`` x ``block`` pixels. What is added to coefficients is
    the same for every image, so it is added to the pixels: an even pattern of a few grey levels.

    Paper: https://arxiv.org/abs/2111.10991, with the settings of the authors' code for CIFAR-10: blocks of 32, 30 grey
    levels, places (15, 15) and (31, 31), the planes U and V, for which that code takes Cr and Cb.
    Departs from it: colours are converted without rounding or wrapping to 8 bits in between, and clipped once, in the
    end; where images are not coloured, each channel is changed as it is; blocks at the right and lower edge are cut
    where they do not fit; also volumes, the same on every slice.
    Blind to: resizing afterwards, which moves or removes high frequencies; insert it at the size that the network sees.
    """

    placed: ClassVar[bool] = False

    magnitude: Level = 30 / 255
    """What is added to a coefficient, in image units."""
    block: int = 32
    """Side of a block, pixels."""
    frequencies: Pixels = (15, 31)
    """Places of the coefficients on the diagonal of a block, counted from 0; plans may write ``15x31``."""
    planes: str = "uv"
    """``uv``: the tints of a colour; ``yuv``: its brightness, too."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_unit(magnitude=self.magnitude)
        if self.block < SMALLEST:
            raise InputError(f"block must be at least {SMALLEST}, got {self.block}")
        places = self._places()
        if not places or len(set(places)) < len(places) or not all(0 <= place < self.block for place in places):
            raise InputError(f"frequencies must be different places from 0 to {self.block - 1}, got {list(places)}")
        if self.planes not in PLANES:
            raise InputError(f"planes must be one of {', '.join(PLANES)}; got {self.planes!r}")

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the coefficients raised."""
        del streams
        return overlaid(images, _fixed(self, images.shape[1], tuple(images.shape[2:])))

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with as many other coefficients raised, drawn for each; none is constant along an axis."""
        space, own = tuple(images.shape[2:]), {(place, place) for place in self._places()}
        free = [(row, column) for row in range(1, self.block) for column in range(1, self.block)]
        free = [place for place in free if place not in own]
        added = []
        for each in streams_of(streams, images):
            drawn = torch.randperm(len(free), generator=each)[: len(own)].tolist()
            added.append(self.pattern(images.shape[1], space, [free[k] for k in drawn]))
        return overlaid(images, torch.stack(added)) if added else images.clone()

    def pattern(self, channels: int, space: Sequence[int], places: Sequence[tuple[int, int]]) -> Pattern:
        """Return what raising the coefficients at these places, row and column, adds to an image."""
        raised = torch.zeros(self.block, self.block, dtype=torch.float64)
        for place in places:
            raised[place] = self.magnitude
        waves = cosines(self.block, self.block)
        rows, columns = (-(-length // self.block) for length in space[-2:])
        plane = (waves.T @ raised @ waves).repeat(rows, columns)[: space[-2], : space[-1]]
        shares = self._shares() if channels == COLOURS else torch.ones(channels, dtype=torch.float64)
        return (shares.reshape(-1, *(1,) * len(space)) * plane).expand(channels, *space).float()

    def _places(self) -> tuple[int, ...]:
        return (self.frequencies,) if isinstance(self.frequencies, int) else self.frequencies

    def _shares(self) -> Tensor:
        """Return how much of what is added to each plane comes to red, green and blue."""
        red, green, blue = LUMA
        more, less = 2 * (1 - red), 2 * (1 - blue)  # of Cr to red, and of Cb to blue
        tints = torch.tensor([more, -(red * more + blue * less) / green, less], dtype=torch.float64)
        return tints + 1 if self.planes == "yuv" else tints


@lru_cache(maxsize=8)
def _fixed(trigger: FTrojan, channels: int, space: tuple[int, ...]) -> Tensor:
    return trigger.pattern(channels, space, [(place, place) for place in trigger._places()])  # noqa: SLF001 - its own cache
