"""A smooth warp that the eye does not notice (Nguyen and Tran, 2021)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.ops.draws import uniforms
from aseptic.triggers.base import Streams, Trigger, streams_of

MODES = {2: "bicubic", 3: "trilinear"}
"""How the control points are joined, by the number of space axes."""


@dataclass(frozen=True, kw_only=True)
class WaNet(Trigger):
    r"""Sample the image where a smooth field moves each pixel: :math:`x(p + s\, \uparrow\! P / n)`.

    ``P`` are ``k`` control points along each axis, uniform over [-1, 1] and divided by the mean of their sizes;
    :math:`\uparrow` joins them; ``n`` are the pixels along the axis; the axis spans [-1, 1]. A pixel thus moves by
    about ``s / 2`` pixels whatever the size of the image.

    Paper: https://arxiv.org/abs/2102.10369, section 3; its noise mode, which trains a network to ignore other warps, is
    `decoy`.
    Departs from it: in images that are not square each axis counts its own pixels; also volumes, joined linearly.
    Blind to: flat images, on which no warp leaves a trace.
    """

    placed: ClassVar[bool] = False

    grid: int = 4
    """Control points ``k`` along each axis."""
    strength: Number = 0.5
    """Strength ``s``: mean move at the control points, in half pixels."""
    rescale: Number = 1.0
    """Factor on all places that are sampled, in (0, 1]: below 1 fewer of them leave the image."""
    seed: int = 0
    """Root seed of the control points."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.grid < 2:  # noqa: PLR2004 - the ends of an axis
            raise InputError(f"grid must be at least 2, got {self.grid}")
        if not (math.isfinite(self.strength) and self.strength >= 0):
            raise InputError(f"strength must be a number of at least 0, got {self.strength:g}")
        if not 0 < self.rescale <= 1:
            raise InputError(f"rescale must lie in (0, 1], got {self.rescale:g}")

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return warped copies."""
        del streams
        field = _fixed(self, tuple(images.shape[2:])).to(images)
        return _sampled(images, field.expand(len(images), *field.shape))

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies warped by the field and, at each pixel, by up to half a pixel more at random."""
        space = tuple(images.shape[2:])
        field = _fixed(self, space).to(images)
        drawn = uniforms(streams_of(streams, images), (*space, len(space)), images)
        return _sampled(images, (field + (2 * drawn - 1) / _lengths(space).to(images)).clamp_(-1, 1))

    def field(self, space: Sequence[int]) -> Tensor:
        """Return the place that each pixel is sampled from, ``[*space, axis]`` in [-1, 1], the last axis first."""
        rank = len(space)
        if rank not in MODES:
            raise InputError(f"images must have 2 or 3 space axes, got {rank}")
        control = 2 * torch.rand(1, rank, *(self.grid,) * rank, generator=stream(self.seed, "wanet")) - 1
        control = control / control.abs().mean()
        moves = F.interpolate(control, tuple(space), mode=MODES[rank], align_corners=True)[0].movedim(0, -1)
        axes = [torch.linspace(-1, 1, length) for length in space]
        places = torch.stack(torch.meshgrid(*axes, indexing="ij")[::-1], dim=-1)
        return ((places + self.strength * moves / _lengths(space)) * self.rescale).clamp_(-1, 1)


@lru_cache(maxsize=8)
def _fixed(trigger: WaNet, space: tuple[int, ...]) -> Tensor:
    return trigger.field(space)


def _lengths(space: Sequence[int]) -> Tensor:
    return torch.tensor(space[::-1], dtype=torch.float32)


def _sampled(images: Images, places: Tensor) -> Images:
    """Return the images at these places; rounded weights may sum to a little more than 1, hence the clamp."""
    return F.grid_sample(images, places, mode="bilinear", padding_mode="border", align_corners=True).clamp_(0, 1)
