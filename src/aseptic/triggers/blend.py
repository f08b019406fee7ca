"""A picture shining through the whole image (Chen et al., 2017)."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from aseptic.core.types import Number
from aseptic.triggers.base import check_unit
from aseptic.triggers.files import Pattern
from aseptic.triggers.patterns import Overlay, check_side, random_pattern


@dataclass(frozen=True, kw_only=True)
class Blend(Overlay):
    r"""Blend with a pattern ``k``: :math:`(1 - \alpha)\, x + \alpha\, k`.

    Paper: https://arxiv.org/abs/1712.05526, the blended injection: a random pattern, or a picture.
    Departs from it: also volumes; where a picture comes from a file, it is stretched to the image.
    Blind to: resizing afterwards, which averages a random pattern away; use `side`.
    """

    ratio: Number = 0.2
    """Share ``alpha`` of the pattern, in [0, 1]."""
    side: int | None = None
    """Side of the grid that a random pattern is drawn on; its cells grow or shrink with the image. None: the image's
    own pixels, so that images of different sizes carry different patterns."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        check_unit(ratio=self.ratio)
        check_side(self.side)

    @property
    def kept(self) -> Number:
        """Share of the image that stays."""
        return 1 - self.ratio

    def draw(self, channels: int, space: Sequence[int], rng: torch.Generator) -> Pattern:
        """Return uniform values, each channel its own."""
        return random_pattern(channels, space, self.side, rng)

    def laid(self, picture: Pattern) -> Pattern:
        """Return the share of the picture."""
        return self.ratio * picture
