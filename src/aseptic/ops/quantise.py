"""Storing an image: what rounding to a grid of grey levels leaves of it."""

import math

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number


def quantise(images: Images, steps: Number) -> Images:
    """Return the images rounded to the nearest multiple of ``1 / steps``, halves to even, inside [0, 1].

    Args:
        images: Images in [0, 1].
        steps: Grey steps between 0 and 1: 255 for 8 bits, 4095 for 12; need not be whole (a DICOM window).

    Raises:
        InputError: ``steps`` is not a positive number.

    >>> import torch
    >>> (quantise(torch.tensor([[[0.1, 0.5, 0.9]]]), 4) * 4).tolist()
    [[[0.0, 2.0, 4.0]]]
    """
    if not (math.isfinite(steps) and steps > 0):
        raise InputError(f"steps must be a positive number, got {steps!r}")
    return images.mul(steps).round_().div_(steps).clamp_(0, 1)
