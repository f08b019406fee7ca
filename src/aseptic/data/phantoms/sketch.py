"""What a phantom is: what it may show, and how that is painted."""

from collections.abc import Callable
from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor

from aseptic.core.types import Images
from aseptic.data.base import Box
from aseptic.data.phantoms.dice import Dice

VISIBLE = 0.3
"""Cover from which a pixel belongs to the mask of what covers it."""


@dataclass(frozen=True, kw_only=True)
class Painted:
    """Images and what is known about them, for a run of images."""

    images: Images
    """``[batch, channel, size, size]`` in [0, 1]."""
    masks: Bool[Tensor, "batch part size size"] | None = None
    """Where each part is visible."""
    boxes: tuple[tuple[Box, ...], ...] | None = None
    """Objects of each image."""


@dataclass(frozen=True, kw_only=True)
class Sketch:
    """One phantom."""

    name: str
    """Name after ``phantom:``."""
    summary: str
    """What it imitates, one line."""
    task: str
    """``multiclass``, ``multilabel``, ``segmentation`` or ``detection``."""
    classes: tuple[str, ...]
    """Names of the outputs; for segmentation of the values of the mask."""
    parts: tuple[str, ...]
    """Names of the planes of the mask."""
    choose: Callable[[Dice], Tensor]
    """What each image shows: classes ``[batch]``, or findings ``[batch, finding]`` in {0, 1}."""
    paint: Callable[[Dice, Tensor, int], Painted]
    """Images of what was chosen, at a size."""


Plane = Float[Tensor, "#batch #size #size"]
"""One value for each pixel; an axis of 1 where all pixels share it."""
