"""Boxes ``(left, top, right, bottom)`` in pixels: overlap, suppression of doubles, another size of the picture."""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Boxes = Float[Tensor, "batch candidate 4"]
"""Corners of the boxes of each image."""


def areas(boxes: Float[Tensor, "*any 4"]) -> Float[Tensor, "*any"]:
    """Return the area of each box, in square pixels; 0 where it is inside out."""
    sides = (boxes[..., 2:] - boxes[..., :2]).clamp(min=0)
    return sides[..., 0] * sides[..., 1]


def overlaps(first: Boxes, second: Float[Tensor, "batch object 4"]) -> Float[Tensor, "batch candidate object"]:
    """Return the intersection over union of every box with every object of the same image; 0 where both are empty.

    >>> boxes = torch.tensor([[[0.0, 0.0, 2.0, 2.0]]])
    >>> overlaps(boxes, torch.tensor([[[1.0, 0.0, 3.0, 2.0], [0.0, 0.0, 2.0, 2.0]]])).round(decimals=3)
    tensor([[[0.3330, 1.0000]]])
    """
    one, other = first[:, :, None], second[:, None]
    low, high = torch.maximum(one[..., :2], other[..., :2]), torch.minimum(one[..., 2:], other[..., 2:])
    sides = (high - low).clamp(min=0)
    both = sides[..., 0] * sides[..., 1]
    union = areas(one) + areas(other) - both
    return both / union.clamp(min=torch.finfo(union.dtype).tiny)


def survivors(
    logits: Float[Tensor, "batch label candidate"], boxes: Boxes, *, overlap: float, most: int
) -> Bool[Tensor, "batch label candidate"]:
    """Return what is left of the candidates when doubles of the same output are suppressed, the most likely first.

    A candidate falls when one with a larger logit of that output survives and overlaps it by more than ``overlap``.
    Of what is left, each image keeps the ``most`` largest. Whether a candidate survives does not depend on any
    threshold: what is cut off below one never suppressed anything above it.
    """
    from torchvision.ops import nms  # noqa: PLC0415 - a second to import

    kept = torch.zeros_like(logits, dtype=torch.bool)
    wide, scores = boxes.detach(), logits.detach()
    for image in range(len(logits)):
        for output in range(logits.shape[1]):
            kept[image, output, nms(wide[image], scores[image, output], overlap)] = True
    if most < logits.shape[1:].numel():
        ranked = scores.masked_fill(~kept, -torch.inf).flatten(1)
        top = torch.zeros_like(kept.flatten(1)).scatter_(1, ranked.topk(most, dim=1).indices, value=True)
        kept &= top.reshape(kept.shape)
    return kept


def rescaled(boxes: Float[Tensor, "*any 4"], before: Sequence[int], after: Sequence[int]) -> Float[Tensor, "*any 4"]:
    """Return the boxes of a picture of size ``before`` (rows, columns) in one of size ``after``."""
    if tuple(before) == tuple(after):
        return boxes
    down, across = (new / old for old, new in zip(before, after, strict=True))
    return boxes * boxes.new_tensor([across, down, across, down])
