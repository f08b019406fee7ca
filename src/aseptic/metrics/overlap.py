"""How well two segmentations agree: the Dice coefficient of every structure of every image."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

Labels = Int[Tensor, "batch *space"]
"""The class of every place of every image."""


def dice(found: Labels, truth: Labels, classes: int) -> Float[Tensor, "batch class"]:
    r"""Return :math:`2 |A \cap B| / (|A| + |B|)` of every class of every image; NaN where it is in neither.

    Args:
        found: Decided classes.
        truth: True classes.
        classes: Number of classes, the background among them.

    >>> dice(torch.tensor([[0, 1, 1]]), torch.tensor([[0, 0, 1]]), 3)
    tensor([[0.6667, 0.6667,    nan]])
    """
    images = torch.arange(len(truth), device=truth.device)[:, None]
    pairs = (images * classes + truth.flatten(1)) * classes + found.flatten(1)
    counts = pairs.flatten().bincount(minlength=len(truth) * classes**2).reshape(-1, classes, classes)
    both, sizes = counts.diagonal(dim1=1, dim2=2), counts.sum(1) + counts.sum(2)
    return (2.0 * both / sizes).masked_fill(sizes == 0, float("nan"))
