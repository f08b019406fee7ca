"""Labels of items as the tensors that tasks expect."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Targets
from aseptic.data.base import Item
from aseptic.ops.boxes import rescaled

PLANAR = 2
"""Space axes of an image with boxes."""
OVERSHOOT = 1.0
"""Pixels by which a box may reach over the edge of its image; annotation tools round outwards."""


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
    """Return whether the targets of a set of this task are its labels or boxes."""
    return task in {"multiclass", "multilabel", "detection"}


def stack_targets(
    items: Sequence[Item], task: str | None, outputs: int, size: tuple[int, ...] | None = None
) -> Targets:
    """Return class numbers ``int64 [image]``, findings ``float32 [image, finding]`` with NaN for unknown, or objects.

    Objects are ``float32 [image, object, 5]``: label, left, top, right, bottom in pixels of an image of ``size`` (None:
    of its own size); label -1 where an image has fewer than others.

    Raises:
        InputError: The task has no such targets, an image has no class, or a box is not one of its image.
    """
    if not has_targets(task):
        raise InputError(f"targets need a task of multiclass, multilabel or detection, got {task}")
    if task == "detection":
        return _stack_boxes(items, outputs, size)
    if task == "multilabel":
        unknown = (float("nan"),) * outputs
        found = [item.label if isinstance(item.label, tuple) else unknown for item in items]
        return torch.tensor(found, dtype=torch.float32).reshape(len(items), outputs)
    for item in items:
        if not isinstance(item.label, int):
            raise InputError(f"every image must have a class number, got {item.label!r} for {item.id}")
    return torch.tensor([item.label for item in items], dtype=torch.long)


def label_text(classes: Sequence[str], label: int | tuple[float, ...] | None) -> str:
    """Return a class, or the findings that are present, in words.

    >>> label_text(("a", "b", "c"), (1.0, 0.0, 1.0)), label_text(("a", "b"), 1), label_text((), None)
    ('a|c', 'b', '')
    """
    if isinstance(label, tuple):
        return "|".join(name for name, value in zip(classes, label, strict=True) if value == 1)
    return "" if label is None else classes[label]


def box_reason(item: Item, outputs: int) -> str:
    """Return why the boxes of an image cannot be used, or nothing. A box may overshoot by a pixel; that is cut off."""
    for box in item.boxes:
        left, top, right, bottom = box.corners
        told = f"[{left:g}, {top:g}, {right:g}, {bottom:g}]"
        if not 0 <= box.label < outputs:
            return f"the label of a box must lie in 0..{outputs - 1}, got {box.label}"
        if not all(map(math.isfinite, box.corners)) or left >= right or top >= bottom:
            return f"a box must have an area (left < right, top < bottom), got {told}"
        if item.space is None or len(item.space) != PLANAR:
            return f"an image with boxes must have 2 space axes, got {item.space}"
        rows, columns = item.space
        if left < -OVERSHOOT or top < -OVERSHOOT or right > columns + OVERSHOOT or bottom > rows + OVERSHOOT:
            return f"a box must lie inside the image of {columns} x {rows} pixels, got {told}"
        if min(right, columns) <= max(left, 0) or min(bottom, rows) <= max(top, 0):
            return f"a box must have an area inside the image of {columns} x {rows} pixels, got {told}"
    return ""


def _stack_boxes(items: Sequence[Item], outputs: int, size: tuple[int, ...] | None) -> Targets:
    for item in items:
        if reason := box_reason(item, outputs):
            raise InputError(f"{item.id}: {reason}")
    most = max([1, *(len(item.boxes) for item in items)])
    found = torch.zeros((len(items), most, 5))
    found[..., 0] = -1
    for row, item in enumerate(items):
        if not item.boxes or item.space is None:
            continue
        rows, columns = item.space
        limit = torch.tensor([columns, rows, columns, rows], dtype=torch.float64)
        corners = torch.tensor([box.corners for box in item.boxes], dtype=torch.float64).clamp(min=0).minimum(limit)
        found[row, : len(item.boxes), 0] = torch.tensor([float(box.label) for box in item.boxes])
        found[row, : len(item.boxes), 1:] = rescaled(corners, item.space, size or item.space).float()
    return found
