"""What a validation set says of a network: its loss, and the one score that the best epoch is chosen by."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.metrics.ranking import auroc_macro
from aseptic.models.objective import operating_point
from aseptic.models.skill import columns
from aseptic.tasks.base import Task
from aseptic.tasks.segmentation import Segmentation

Answered = tuple[Tensor, Tensor]
"""Logits and targets of one batch; batches differ in length."""
SCORES: Mapping[str, str] = {"multiclass": "AUROC", "multilabel": "AUROC", "segmentation": "Dice"}
"""Task to the name of its score."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """A network on a validation set."""

    loss: float
    """Mean loss of the images, in nats."""
    score: float
    """Mean AUROC of the classes that have both labels; or mean Dice of the structures and images."""
    finite: bool
    """Whether every logit is."""
    offsets: tuple[float, ...]
    """Operating point in logits; empty where the task has none."""


def judge(task: Task, answers: Iterable[Answered]) -> Judgement:
    """Return what the answers to all validation images come to; of segmentations only numbers are kept.

    Args:
        task: What the logits mean.
        answers: Logits and targets, batch by batch, on the CPU.
    """
    if isinstance(task, Segmentation):
        return _dense(task, answers)
    parts = list(answers)
    logits, targets = torch.cat([one for one, _ in parts]), torch.cat([one for _, one in parts])
    if not logits.isfinite().all():
        return Judgement(loss=float("nan"), score=float("nan"), finite=False, offsets=())
    scores: Float[np.ndarray, "batch output"] = task.scores(logits.double()).numpy()
    return Judgement(
        loss=float(task.loss(logits, targets).mean()),
        score=auroc_macro(scores, columns(targets, len(task.classes))),
        finite=True,
        offsets=operating_point(logits, targets),
    )


def _dense(task: Segmentation, answers: Iterable[Answered]) -> Judgement:
    losses, dices, finite = [], [], True
    for logits, targets in answers:
        losses.append(task.loss(logits, targets))
        dices.append(task.agreement(logits, targets))
        finite &= bool(logits.isfinite().all())
    return Judgement(
        loss=float(torch.cat(losses).mean()), score=float(torch.cat(dices).nanmean()), finite=finite, offsets=()
    )


def check_judge(task: Task, validation: Iterable[Tensor], training: Iterable[Tensor]) -> None:
    """Raise `InputError` where the targets are not of the task, or the sets cannot teach or judge it.

    Args:
        task: The task.
        validation: Targets of the validation images, batch by batch.
        training: Targets of the training images, batch by batch.
    """
    if task.dense:
        for name, targets in (("training", training), ("validation", validation)):
            counts = _counts(task, targets)
            if not counts[1:].any():
                raise InputError(f"the {name} masks must show at least one structure, got background everywhere")
            if name == "training" and (absent := [one for one, n in zip(task.classes, counts, strict=True) if not n]):
                raise InputError(f"the training masks must show every class at least once, got none of {absent[0]!r}")
        return
    for targets in training:
        task.check_targets(targets)
    found = []
    for targets in validation:
        task.check_targets(targets)
        found.append(columns(targets, len(task.classes)))
    wanted = np.concatenate(found)
    if not ((wanted == 1).any(0) & (wanted == 0).any(0)).any():
        raise InputError("the validation set must show at least one class both present and absent, to measure AUROC")


def _counts(task: Task, parts: Iterable[Tensor]) -> Tensor:
    """Return how many places show each class."""
    counts = torch.zeros(len(task.classes), dtype=torch.long)
    for targets in parts:
        task.check_targets(targets)
        counts += targets.flatten().bincount(minlength=len(task.classes))
    return counts
