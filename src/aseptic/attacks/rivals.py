"""The other classes that targeted searches try, one after the other."""

import torch
from jaxtyping import Int
from torch import Tensor

from aseptic.attacks.base import Batch, Counted
from aseptic.core.errors import InputError
from aseptic.core.types import Logits, PerImage
from aseptic.ops.logits import ranked_others
from aseptic.tasks.base import Task
from aseptic.tasks.multiclass import own


def check_classes(classes: int) -> None:
    """Raise `InputError` unless some class is tried."""
    if classes < 1:
        raise InputError(f"classes must be a whole number of at least 1, got {classes!r}")


def rivals(model: Counted, batch: Batch, most: int) -> Int[Tensor, "batch place"]:
    """Return the other classes of largest logit on the unchanged images, at most so many; takes one pass."""
    task = model.task
    with torch.no_grad():
        logits = model(batch.images.clone())
    return ranked_others(task.shift(logits), batch.targets, min(most, len(task.classes) - 1))


def ahead(task: Task, logits: Logits, rival: Tensor, truth: Tensor) -> PerImage:
    """Return how far the logits of these classes are above those of the true ones."""
    shifted = task.shift(logits)
    return own(shifted, rival) - own(shifted, truth)
