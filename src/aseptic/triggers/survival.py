"""What preparing and augmenting images leaves of a trigger."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.ops.images import SAMPLINGS, check_sampling, resize
from aseptic.triggers.base import Pixels, Trigger

Changed = Float[Tensor, "batch channel *changed"]
"""Images that may have another size."""
SEEN = 0.5 / 255
"""Half a level of 8 bits: a smaller difference is not stored."""


@runtime_checkable
class Step(Protocol):
    """One step between the image that is poisoned and the one that the network sees, such as a crop."""

    def apply(self, images: Images) -> Changed:
        """Return changed copies."""


@dataclass(frozen=True, kw_only=True)
class Resize:
    """Resize, by one of the rules that libraries follow."""

    size: Pixels
    """Pixels afterwards, the same along each axis or one number for each."""
    sampling: str = SAMPLINGS[0]
    """How, as `aseptic.ops.images.resize` has it."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_sampling(self.sampling)
        if min((self.size,) if isinstance(self.size, int) else self.size) < 1:
            raise InputError(f"size must be at least 1, got {self.size}")

    def apply(self, images: Images) -> Changed:
        """Return the images at the new size."""
        size = (self.size,) * (images.ndim - 2) if isinstance(self.size, int) else self.size
        return resize(images, size, self.sampling)


@dataclass(frozen=True, kw_only=True)
class Flip:
    """Mirror."""

    axis: int = -1
    """Axis of the image that is mirrored, counted from the end: -1 is left and right."""

    def apply(self, images: Images) -> Changed:
        """Return mirrored images."""
        return images.flip(_axis(self.axis, images))


@dataclass(frozen=True, kw_only=True)
class Shift:
    """Move along one axis; the edge is repeated where the image has moved away from it."""

    pixels: int
    """How far, towards larger places."""
    axis: int = -1
    """Axis of the image, counted from the end."""

    def apply(self, images: Images) -> Changed:
        """Return moved images."""
        axis = _axis(self.axis, images)
        places = torch.arange(images.shape[axis]) - self.pixels
        return images.index_select(axis, places.clamp(0, images.shape[axis] - 1))


@dataclass(frozen=True, kw_only=True)
class Rotation:
    """Turn in the plane of the last two axes, about the middle; the edge is repeated where nothing was."""

    degrees: Number
    """Angle, clockwise as seen."""
    method: str = "bilinear"
    """``bilinear`` or ``nearest``."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if not math.isfinite(self.degrees):
            raise InputError(f"degrees must be a number, got {self.degrees!r}")
        if self.method not in {"bilinear", "nearest"}:
            raise InputError(f"method must be one of bilinear, nearest; got {self.method!r}")

    def apply(self, images: Images) -> Changed:
        """Return turned images."""
        rows, columns = images.shape[-2:]
        c, s = math.cos(math.radians(self.degrees)), math.sin(math.radians(self.degrees))
        down = torch.arange(rows, dtype=images.dtype)[:, None] - (rows - 1) / 2
        right = torch.arange(columns, dtype=images.dtype)[None, :] - (columns - 1) / 2
        # Where the pixel comes from, in the units of grid_sample: a pixel is 2 / length wide.
        places = torch.stack([(c * right + s * down) * 2 / columns, (c * down - s * right) * 2 / rows], -1)
        joined = images.reshape(1, -1, rows, columns)
        found = F.grid_sample(joined, places[None], mode=self.method, padding_mode="border", align_corners=False)
        return found.reshape(images.shape)


@dataclass(frozen=True, kw_only=True)
class Survival:
    """What is left of a trigger: pixels of flat images that differ from those without it."""

    space: tuple[int, ...]
    """Pixels along each axis of the image that the network sees."""
    black: int
    """Pixels that differ where the untouched image is black."""
    grey: int
    """Where it is of the middle grey."""
    white: int
    """Where it is white."""
    box: tuple[tuple[int, int], ...] | None
    """First pixel that differs on any of the three, and the one behind the last, along each axis; None: none does."""
    largest: float
    """Largest difference, in image units."""

    @property
    def pixels(self) -> int:
        """Pixels that differ on the image where most of them do; 0 means that the trigger is gone."""
        return max(self.black, self.grey, self.white)


def survivors(  # noqa: PLR0913 - a trigger, an image, what is done to it, and what counts
    trigger: Trigger,
    space: Sequence[int],
    steps: Sequence[Step] = (),
    *,
    channels: int = 1,
    least: Number = SEEN,
    seed: int = 0,
) -> Survival:
    """Return how many pixels of a trigger remain after these steps, and where.

    A warp leaves no trace on flat images: of such a trigger nothing is ever counted.

    Args:
        trigger: What is put on black, middle grey and white images.
        space: Pixels along each axis of the image that it is put on.
        steps: What happens to the image afterwards, in this order.
        channels: Channels of the image.
        least: Smallest difference that counts, in image units.
        seed: Root seed of a place that is drawn.

    Raises:
        InputError: The trigger or a step does not fit the image.
    """
    untouched = torch.tensor([0.0, 0.5, 1.0]).reshape(3, 1, *(1,) * len(space)).expand(3, channels, *space)
    # The same stream for all three: the trigger lies at the same place.
    triggered = trigger.apply(untouched.contiguous(), [stream(seed, "survivors") for _ in untouched])
    # In double precision, so that a turn by 90 degrees differs where it must and nowhere else.
    both = torch.cat([untouched, triggered]).double()
    for step in steps:
        both = step.apply(both)
    difference = (both[3:] - both[:3]).abs().amax(1)
    changed = difference > least
    black, grey, white = changed.flatten(1).sum(1).tolist()
    where = changed.any(0).nonzero()
    low, high = (where.amin(0).tolist(), (where.amax(0) + 1).tolist()) if len(where) else ((), ())
    return Survival(
        space=tuple(both.shape[2:]),
        black=black,
        grey=grey,
        white=white,
        box=tuple(zip(low, high, strict=True)) or None,
        largest=float(difference.amax()),
    )


def _axis(axis: int, images: Images) -> int:
    """Return which axis of the tensor an axis of the image is."""
    rank = images.ndim - 2
    if not -rank <= axis < 0:
        raise InputError(f"axis must lie in -{rank}..-1, got {axis}")
    return images.ndim + axis
