"""What every trigger is: a pure function of images, with its settings as its only state."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from jaxtyping import Bool
from pydantic import BeforeValidator
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.numbers import level
from aseptic.core.types import Images, Number

Streams = Sequence[torch.Generator]
"""One CPU stream for each image."""
Region = Bool[Tensor, "*space"]
"""The pixels that a trigger may change."""


def _level(value: object) -> object:
    return level(value, "a grey value") if isinstance(value, str) else value


def _pixels(value: object) -> object:
    if isinstance(value, str) and "x" in value and all(part.isdigit() for part in value.split("x")):
        return tuple(int(part) for part in value.split("x"))
    return tuple(value) if isinstance(value, list) else value


Level = Annotated[Number, BeforeValidator(_level)]
"""A grey value in [0, 1]; plans may write it as ``250/255``."""
Pixels = Annotated[int | tuple[int, ...], BeforeValidator(_pixels)]
"""A number of pixels, the same along each space axis, or one for each; plans may write ``5x5``."""

CORNERS = {"upper-left": (0, 0), "upper-right": (0, 1), "lower-left": (1, 0), "lower-right": (1, 1)}
"""Named corners: whether they lie at the end of the last two axes."""


@dataclass(frozen=True, kw_only=True)
class Trigger(ABC):
    """One trigger with its settings. Adding one is one module and one line in `aseptic.triggers.catalogue.TRIGGERS`.

    The same image, settings and stream give the same result, bit for bit. Values are in [0, 1], where a stored level of
    8 bits ``v`` is ``v / 255``: what a trigger writes is exact in stored values wherever its settings are.
    """

    placed: ClassVar[bool]
    """Whether it has a place, so that an explanation could point at it; others change the whole image."""

    @abstractmethod
    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies that carry the trigger, in [0, 1].

        Args:
            images: ``[N, channel, *space]`` in [0, 1], two or three space axes; not written to.
            streams: One for each image, for triggers whose place or form differs from image to image.

        Raises:
            InputError: The settings do not fit images of this shape, or a stream is needed and absent.
        """

    def region(self, space: Sequence[int], stream: torch.Generator | None = None) -> Region | None:
        """Return the pixels of an image of this size that `apply` may change; None where it has no place.

        Given a stream in the state that `apply` finds it in, it is the region of that image.
        """
        del space, stream
        return None

    @classmethod
    def has_decoy(cls) -> bool:
        """Return whether there is something alike that is not the trigger."""
        return cls.decoy is not Trigger.decoy

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with something alike that is not the trigger, for cover samples that keep their labels.

        Raises:
            InputError: This trigger has nothing alike.
        """
        del images, streams
        raise InputError(f"{type(self).__name__} has no decoy: cover samples of it must carry the trigger itself")


def stream_of(streams: Streams, index: int) -> torch.Generator:
    """Return the stream of one image.

    Raises:
        InputError: There is none.
    """
    if index >= len(streams):
        raise InputError(f"streams must hold one generator for each image of a trigger that draws, got {len(streams)}")
    return streams[index]


def streams_of(streams: Streams, images: Images) -> Streams:
    """Return one stream for each of the images.

    Raises:
        InputError: There are fewer.
    """
    return [stream_of(streams, index) for index in range(len(images))]


def overlaid(images: Images, added: Tensor, kept: Number = 1.0) -> Images:
    """Return ``kept * images + added`` inside [0, 1]; the two steps round alike for one image and for many."""
    found = images * kept
    return found.add_(added.to(images)).clamp_(0, 1)


def check_unit(**values: Number) -> None:
    """Raise `InputError` where a setting does not lie in [0, 1]."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} must lie in [0, 1], got {value:g}")
