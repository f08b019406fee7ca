"""Masks as targets: at the size of a view, with numbers that are classes."""

from collections.abc import Sequence

import torch
from jaxtyping import Int
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError

MASKED = "segmentation"
"""The task whose targets are masks."""
Mask = Int[Tensor, "*space"]
"""The class of every place of one image."""


def fit_mask(mask: Mask, size: tuple[int, ...] | None) -> Int[Tensor, "*fitted"]:
    """Return the mask at ``size``, each place with the number of the nearest one; None leaves it as it is.

    Raises:
        InputError: The number of space axes differs.
    """
    if size is None or tuple(mask.shape) == size:
        return mask
    if mask.ndim != len(size):
        raise InputError(f"size must have {mask.ndim} space axes as the mask has, got {list(size)}")
    # Label numbers must not be averaged. float64 holds them exactly.
    return F.interpolate(mask[None, None].double(), size=size, mode="nearest-exact")[0, 0].long()


def check_numbers(mask: Mask, name: str, classes: Sequence[str]) -> Mask:
    """Return the mask, whose numbers must be those of ``classes``; without classes any will do.

    Raises:
        InputError: A number is none of them; the message names the image.
    """
    low, high = (int(end) for end in mask.aminmax())
    if classes and not 0 <= low <= high < len(classes):
        raise InputError(
            f"{name}: the mask must hold the numbers of classes, 0..{len(classes) - 1} ({', '.join(classes)}), "
            f"got {low if low < 0 else high}"
        )
    return mask


def stack_masks(masks: Sequence[Mask], size: tuple[int, ...] | None) -> Int[Tensor, "image *space"]:
    """Return masks as one tensor.

    Raises:
        InputError: They differ in size.
    """
    shapes = sorted({tuple(mask.shape) for mask in masks})
    if len(shapes) > 1:
        raise InputError(f"masks must have one shape, got {[*shapes[0]]} and {[*shapes[1]]}; give `size`")
    return torch.stack(list(masks)) if masks else torch.zeros((0, *(size or (0, 0))), dtype=torch.long)
