"""Boxes that move with their images: mirrored and shifted as `aseptic.models.augment.augment` does it."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from aseptic.ops.boxes import areas

LEFT = 0.5
"""Share of an object's area that must be left in the picture for it to count as one."""
Objects = Float[Tensor, "batch object 5"]
"""Label (-1: none), left, top, right, bottom."""


def mirror_boxes(objects: Objects, mirrored: Bool[Tensor, " batch"], columns: int) -> Objects:
    """Return the objects where an image of so many columns was mirrored left to right."""
    label, left, top, right, bottom = objects.unbind(2)
    there = mirrored[:, None] & (label >= 0)
    other = torch.stack([label, columns - right, top, columns - left, bottom], 2)
    return torch.where(there[..., None], other, objects)


def shift_boxes(objects: Objects, moves: Int[Tensor, "batch 1"], axis: int, length: int) -> Objects:
    """Return the objects of images that were moved along a space axis (0: down, 1: to the right).

    They are cut at the edge; one of which less than half is left is none.

    Args:
        objects: Objects before.
        moves: Pixels.
        axis: Space axis.
        length: Pixels of the image along it.
    """
    low, high = (2, 4) if axis == 0 else (1, 3)
    found = objects.clone()
    for column in (low, high):
        found[..., column] = (objects[..., column] + moves.to(objects)).clamp(0, length)
    there = objects[..., 0] >= 0
    kept = there & (areas(found[..., 1:]) >= LEFT * areas(objects[..., 1:]))
    gone = torch.zeros_like(found)
    gone[..., 0] = -1
    return torch.where(kept[..., None], found, gone)
