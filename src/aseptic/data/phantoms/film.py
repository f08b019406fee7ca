"""Colour pictures: laying tints over each other, and what a camera makes of them."""

import torch
from torch import Tensor

from aseptic.core.types import Images
from aseptic.data.phantoms.dice import Dice
from aseptic.data.phantoms.sketch import Plane


def mix(colour: Tensor, cover: Plane, tint: tuple[float, float, float]) -> Tensor:
    """Lay a tint over ``colour [3, batch, size, size]`` where ``cover`` is above 0."""
    return torch.lerp(colour, torch.tensor(tint)[:, None, None, None], cover)


def developed(dice: Dice, colour: Tensor, light: Tensor, warm: Tensor, grain: Tensor) -> Images:
    """Return the photograph of ``colour [3, batch, size, size]``: uneven light, white balance, sensor noise."""
    gains = torch.stack([light * (1 + warm), light, light * (1 - warm)])
    size = colour.shape[-1]
    noise = dice.normal("noise", 3, size, size).transpose(0, 1) * grain
    return (colour * gains + noise).clamp(0, 1).transpose(0, 1).contiguous()
