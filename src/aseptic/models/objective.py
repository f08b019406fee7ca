"""What training minimises, and the operating point that it ends with."""

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.types import Logits, Targets
from aseptic.models.skill import columns
from aseptic.tasks.base import Task

EPSILON = 1e-7
"""Least distance of a share from 0 and 1, as in Keras."""
RAREST = 100.0
"""Largest weight of a present finding against an absent one."""


def balanced_weights(targets: Targets, outputs: int) -> Float[Tensor, " output"]:
    """Return one weight a class, ``N / (K n_k)``; or for findings that of presence, absent images over present ones.

    A class or finding that never occurs gets 0 or 1: it has no images to weigh.
    """
    if targets.ndim == 1:
        counts = torch.bincount(targets.long(), minlength=outputs)
        return torch.where(counts > 0, len(targets) / (outputs * counts.clamp(min=1)), 0.0).float()
    present, absent = (targets == 1).sum(0), (targets == 0).sum(0)
    ratio = absent / present.clamp(min=1)
    return torch.where((present > 0) & (absent > 0), ratio.clamp(1 / RAREST, RAREST), 1.0).float()


def training_loss(
    task: Task, logits: Logits, targets: Targets, weights: Tensor | None, loss: str = "task"
) -> Float[Tensor, ""]:
    """Return the loss of a batch: the task's own, or the same with weights; unknown findings add nothing.

    Args:
        task: What the logits mean.
        logits: Answers.
        targets: The truth.
        weights: One for each class, or that of presence against absence for each finding.
        loss: ``task``, or ``categorical`` (`categorical_loss`).
    """
    if loss == "categorical":
        return categorical_loss(logits, targets)
    if weights is None:
        return task.loss(logits, targets).mean()
    if targets.ndim == 1:
        return F.cross_entropy(logits, targets.long(), weight=weights)
    known = ~targets.isnan()
    each = F.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num().to(logits), pos_weight=weights, reduction="none"
    )
    return ((each * known).sum(1) / known.sum(1).clamp(min=1)).mean()


def categorical_loss(logits: Logits, targets: Targets) -> Float[Tensor, ""]:
    r"""Return :math:`-\sum_k y_k \log(\sigma(z_k) / \sum_j \sigma(z_j))`, on average over the images.

    What Keras computes when a network of sigmoid outputs is trained with ``categorical_crossentropy``, as the released
    code of Nwadike et al. (2021) does. An image without any finding adds nothing, whatever the network says of it.
    """
    scores = logits.sigmoid()
    shares = (scores / scores.sum(1, keepdim=True)).clamp(EPSILON, 1 - EPSILON)
    return -(targets.nan_to_num().to(shares) * shares.log()).sum(1).mean()


def operating_point(logits: Logits, targets: Targets) -> tuple[float, ...]:
    """Return the offsets that maximise Youden's index, sensitivity + specificity - 1.

    Two classes are cut on the difference of their logits, findings each on its own. The cut lies halfway between the
    two scores that it separates. More than two classes have no single cut and keep 0, as do findings without both
    labels.
    """
    outputs = logits.shape[1]
    found = logits.detach().cpu().double().numpy()
    if targets.ndim == 1:
        if outputs != 2:  # noqa: PLR2004 - two classes
            return (0.0,) * outputs
        return 0.0, _youden(found[:, 1] - found[:, 0], targets.cpu().numpy() == 1)
    wanted = columns(targets, outputs)
    known = [~np.isnan(wanted[:, k]) for k in range(outputs)]
    return tuple(_youden(found[rows, k], wanted[rows, k] == 1) for k, rows in enumerate(known))


def _youden(scores: np.ndarray, positive: np.ndarray) -> float:
    if positive.all() or not positive.any():
        return 0.0
    order = np.argsort(scores, kind="stable")
    ranked, truth = scores[order], positive[order]
    # cutting before rank i calls everything from i on positive
    index = truth[::-1].cumsum()[::-1] / truth.sum() - (~truth)[::-1].cumsum()[::-1] / (~truth).sum()
    index[1:][ranked[1:] == ranked[:-1]] = -np.inf  # equal scores cannot be separated
    best = int(index.argmax())
    return float(ranked[0] - 1 if best == 0 else (ranked[best] + ranked[best - 1]) / 2)
