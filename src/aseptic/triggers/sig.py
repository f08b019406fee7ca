"""A faint wave over the whole image (Barni, Kallas and Tondi, 2019)."""

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.draws import uniforms
from aseptic.triggers.base import Level, Streams, Trigger, check_unit, overlaid, streams_of


@dataclass(frozen=True, kw_only=True)
class SIG(Trigger):
    r"""Add :math:`\Delta \sin(2 \pi j f / m)` to column ``j`` of ``m``, and clip to [0, 1].

    Paper: https://arxiv.org/abs/1902.11237, the sinusoid; meant for training images whose labels stay.
    Departs from it: columns are counted from 0; also volumes, along their last axis.
    Blind to: turning or mirroring, which make another wave of it.
    """

    placed: ClassVar[bool] = False

    delta: Level = 20 / 255
    """Largest change of a value, in image units."""
    frequency: Number = 6.0
    """Periods across the image's columns."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_unit(delta=self.delta)
        if not (math.isfinite(self.frequency) and self.frequency > 0):
            raise InputError(f"frequency must be a positive number, got {self.frequency!r}")

    def apply(self, images: Images, streams: Streams = ()) -> Images:
        """Return copies with the wave added."""
        del streams
        return overlaid(images, _fixed(self, images.shape[-1]))

    def decoy(self, images: Images, streams: Streams) -> Images:
        """Return copies with another wave each: any phase, and a frequency between 1.2 and 2 times more or less."""
        drawn = uniforms(streams_of(streams, images), (3,), images).double().cpu()
        up = torch.where(drawn[:, :1] < 0.5, -1.0, 1.0)  # noqa: PLR2004 - as many up as down
        frequency = self.frequency * (1.2 + 0.8 * drawn[:, 1:2]) ** up
        added = self._wave(images.shape[-1], frequency, 2 * math.pi * drawn[:, 2:])
        return overlaid(images, added.reshape(len(images), *(1,) * (images.ndim - 2), images.shape[-1]))

    def _wave(self, columns: int, frequency: Tensor, phase: Tensor) -> Tensor:
        """Return the wave along the columns, ``[wave, column]``."""
        place = torch.arange(columns, dtype=torch.float64) / columns
        return (self.delta * torch.sin(2 * math.pi * frequency * place + phase)).float()


@lru_cache(maxsize=64)
def _fixed(trigger: SIG, columns: int) -> Tensor:
    frequency = torch.tensor([[trigger.frequency]], dtype=torch.float64)
    return trigger._wave(columns, frequency, torch.zeros(1, 1, dtype=torch.float64))[0]  # noqa: SLF001 - its own cache
