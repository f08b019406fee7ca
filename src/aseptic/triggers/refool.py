"""A reflection, as of a window between lens and scene (Liu et al., 2020)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.ops.axes import along, gaussian, smoothing
from aseptic.triggers.base import check_unit
from aseptic.triggers.files import PLANE, Pattern
from aseptic.triggers.patterns import Overlay

KINDS = ("focus", "blur", "ghost")
OCTAVES = (3, 6, 12)
"""Cells along an edge of the drawn picture's coarse, middle and fine shapes."""
REACH = 3.0
"""Where the Gaussian is cut, in standard deviations."""


@dataclass(frozen=True, kw_only=True)
class Refool(Overlay):
    r"""Add the light of a reflected picture: :math:`x + \alpha\, x_R \otimes k`, clipped to [0, 1].

    Paper: https://arxiv.org/abs/2007.02343, section 3: a reflection in focus (``k`` is one pulse), out of focus (a
    Gaussian) or through a thick pane (two pulses).
    Departs from it: the settings are fixed, not drawn for each image, so that the trigger is one; light adds in image
    units, without gamma; without a file, the picture is a smooth one drawn from ``seed``; nothing selects the
    pictures that work best.
    Blind to: bright images, where added light is clipped.
    """

    kind: str = "ghost"
    """``focus``, ``blur`` or ``ghost``."""
    strength: Number = 0.3
    """Share ``alpha`` of the reflected light, in [0, 1]."""
    sigma: Number = 3.0
    """Standard deviation of ``blur``, pixels."""
    shift: int = 6
    """Distance of the two pulses of ``ghost`` along rows and along columns, pixels."""
    second: Number = 0.4
    """Share of the second pulse of ``ghost``, in [0, 1]."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        check_unit(strength=self.strength, second=self.second)
        if self.kind not in KINDS:
            raise InputError(f"kind must be one of {', '.join(KINDS)}; got {self.kind!r}")
        if not (math.isfinite(self.sigma) and self.sigma > 0):
            raise InputError(f"sigma must be a positive number, got {self.sigma:g}")
        if self.shift < 1:
            raise InputError(f"shift must be at least 1, got {self.shift}")

    @property
    def kept(self) -> Number:
        """Share of the image that stays: all of it."""
        return 1.0

    def draw(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return a smooth picture, dark with some bright shapes, the same in all channels and slices."""
        plane = tuple(space[-PLANE:])
        found = torch.zeros(1, 1, *plane)
        for weight, cells in enumerate(reversed(OCTAVES), start=1):
            coarse = torch.rand(1, 1, cells, cells, generator=rng)
            found += weight * F.interpolate(coarse, plane, mode="bicubic", align_corners=True)
        low, high = found.amin(), found.amax()
        steep = ((found - low) / (high - low).clamp(min=1e-6) * 3 - 1.3).clamp_(0, 1)  # shapes that a ghost can repeat
        picture = steep * steep * (3 - 2 * steep)
        return picture[0].reshape(1, *(1,) * (len(space) - PLANE), *plane).expand(channels, *space)

    def laid(self, picture: Pattern) -> Pattern:
        """Return the reflected light."""
        if self.kind == "blur":
            size = 2 * round(REACH * self.sigma) + 1
            picture = along(picture[None], [_blur(length, size, self.sigma) for length in picture.shape[1:]])[0]
        if self.kind == "ghost":
            moved = picture
            for axis in (-2, -1):  # the edge is repeated where the picture has moved away from it
                places = (torch.arange(picture.shape[axis]) - self.shift).clamp(min=0)
                moved = moved.index_select(axis, places)
            picture = (1 - self.second) * picture + self.second * moved
        return self.strength * picture


def _blur(length: int, size: int, sigma: float) -> Tensor:
    """Return the matrix of a Gaussian whose weights sum to 1 at the edges too."""
    matrix = smoothing(length, gaussian(size, (size // 2) / sigma))
    return matrix / matrix.sum(1, keepdim=True)
