"""What a backdoor is after: one output of the model, whatever the image shows."""

from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Logits, PerImage, Rows
from aseptic.tasks.base import Task
from aseptic.tasks.multiclass import best_other, own

TASKS = ("multiclass", "multilabel")
"""Tasks with outputs that an image can be driven to."""


def check_served(task: Task) -> None:
    """Refuse models that answer places or objects, which have no one output that an image could be driven to.

    Raises:
        InputError: The task is one of those.
    """
    if task.name not in TASKS:
        raise InputError(f"scanners serve {' and '.join(TASKS)} models, got {task.name}")


def margins(task: Task, logits: Logits, outputs: Rows) -> PerImage:
    """Return how far each image lies above the decision for its output, in logits.

    Classes: the logit of the wanted class minus the largest other; findings: that of the wanted finding alone. Both
    after the operating point, so that a positive number is a decision for the output.
    """
    shifted = task.shift(logits)
    mine = own(shifted, outputs)
    return mine if task.name == "multilabel" else mine - best_other(shifted, outputs)


def losses(task: Task, logits: Logits, outputs: Rows) -> PerImage:
    """Return the loss of each image if its output were the truth: cross-entropy, of a finding that of its presence."""
    shifted = task.shift(logits)
    return F.softplus(-own(shifted, outputs)) if task.name == "multilabel" else task.loss(shifted, outputs)


def decided(task: Task, logits: Logits, output: int) -> Flags:
    """Return which images are decided as the output, or reported to have the finding."""
    decisions = task.decide(logits)
    return decisions[:, output] == 1 if task.name == "multilabel" else decisions == output
