"""Labels of items as the tensors that tasks expect."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Targets
from aseptic.data.base import Item


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Some images of a set, in memory."""

    images: Images
    """Images in [0, 1]."""
    targets: Targets | None
    """Their targets; None where the set has none."""
    index: Int[Tensor, " batch"]
    """Position of each image in the set."""


def has_targets(task: str | None) -> bool:
    """Return whether the targets of a set of this task are its labels."""
    return task in {"multiclass", "multilabel"}


def stack_targets(items: Sequence[Item], task: str | None, outputs: int) -> Targets:
    """Return class numbers ``int64 [image]``, or findings ``float32 [image, finding]`` with NaN for unknown.

    Raises:
        InputError: The task has no such targets, or an image has no class.
    """
    if not has_targets(task):
        raise InputError(f"targets need a task of multiclass or multilabel, got {task}")
    if task == "multilabel":
        unknown = (float("nan"),) * outputs
        found = [item.label if isinstance(item.label, tuple) else unknown for item in items]
        return torch.tensor(found, dtype=torch.float32).reshape(len(items), outputs)
    for item in items:
        if not isinstance(item.label, int):
            raise InputError(f"every image must have a class number, got {item.label!r} for {item.id}")
    return torch.tensor([item.label for item in items], dtype=torch.long)
