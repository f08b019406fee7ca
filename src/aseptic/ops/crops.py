"""The part of a picture that a network is shown, counted in rows and columns as the papers count them."""

from collections.abc import Sequence
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images

PLANAR = 2
"""Space axes of a picture that has a top, and a square in its middle."""


@dataclass(frozen=True, kw_only=True)
class Crop:
    """Cut off the top, then keep the central square, then a central share of each axis; each where it is asked for.

    Fractions of a pixel are cut off, as ``int`` does. A crop only selects pixels: it changes none.
    """

    top: float = 0.0
    """Share of the rows to cut off at the top: ``int(rows * top)`` of them."""
    square: bool = False
    """Whether only the central square is kept; of an odd rest, the smaller half is cut off before it."""
    share: float = 1.0
    """Share of each axis to keep: ``int((length - length * share) / 2)`` are cut off at either end."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if not 0 <= self.top < 1:
            raise InputError(f"top must lie in [0, 1), got {self.top}")
        if not 0 < self.share <= 1:
            raise InputError(f"share must lie in (0, 1], got {self.share}")

    def box(self, space: Sequence[int]) -> tuple[slice, ...]:
        """Return what is kept of each space axis, at least one place of each.

        >>> COVID_NET.box((1000, 800))
        (slice(140, 940, None), slice(0, 800, None))

        Raises:
            InputError: A volume has no top and no square.
        """
        if (self.top or self.square) and len(space) != PLANAR:
            raise InputError(f"top and square need images of {PLANAR} space axes, got {len(space)}")
        starts, stops = [0] * len(space), list(space)
        if self.top:
            starts[0] = int(space[0] * self.top)
        if self.square:
            side = min(stop - start for start, stop in zip(starts, stops, strict=True))
            starts = [start + (stop - start - side) // 2 for start, stop in zip(starts, stops, strict=True)]
            stops = [start + side for start in starts]
        lengths = [stop - start for start, stop in zip(starts, stops, strict=True)]
        lost = [int((length - length * self.share) / 2) for length in lengths]
        return tuple(slice(start + n, stop - n) for start, stop, n in zip(starts, stops, lost, strict=True))

    def apply(self, images: Images) -> Float[Tensor, "batch channel *cropped"]:
        """Return what is kept of the images: a view, not a copy.

        Raises:
            InputError: A volume has no top and no square.
        """
        kept: tuple[slice, ...] = (slice(None), slice(None), *self.box(images.shape[2:]))
        return images[kept]


COVID_NET = Crop(top=0.08, square=True)
"""COVID-Net's (Wang et al., 2020, https://arxiv.org/abs/2003.09871), before 480 x 480 bilinearly; with it Matsuo and
Takemoto (2021). Their trigger is put in after both."""
CENTRAL_60 = Crop(share=0.6)
"""That of Nwadike et al. (2021, https://arxiv.org/abs/2101.00008), before 224 x 224 by the nearest pixel: rows and
columns 204 to 819 of 1024. Their trigger is put in before both, and is one pixel after them."""
