"""Comparisons among the logits of one image."""

import torch
from torch import Tensor

from aseptic.core.types import Logits, PerImage


def spread(logits: Logits, *ranks: int) -> PerImage:
    """Return the largest logit minus the mean of those at these ranks (1 is the largest), and never exactly 0.

    A margin divided by it does not change when the logits are scaled or shifted (Croce and Hein, 2020,
    https://arxiv.org/abs/2003.01690, equations 6 and 7).

    >>> spread(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), 3, 4)
    tensor([2.5000])
    """
    ordered = logits.sort(1, descending=True).values
    return ordered[:, 0] - ordered[:, [rank - 1 for rank in ranks]].mean(1) + 1e-12


def ranked_others(logits: Logits, targets: Tensor, count: int) -> Tensor:
    """Return the ``count`` classes of largest logit that are not the target's, ``[batch, count]``, largest first.

    >>> ranked_others(torch.tensor([[1.0, 4.0, 2.0, 3.0]]), torch.tensor([1]), 2)
    tensor([[3, 2]])
    """
    return logits.scatter(1, targets.long()[:, None], -torch.inf).argsort(dim=1, descending=True, stable=True)[
        :, :count
    ]
