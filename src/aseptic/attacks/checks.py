"""What `run` refuses before an attack, and what it measures after one."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Images, PerImage
from aseptic.ops.balls import Budget
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.make import GOALS

SLACK = 1e-6
"""Allowed excess over the radius, relative."""
PIXEL = 0.01
"""Allowed excess of a box over its image, in pixels: what resizing rounds."""


def check_images(images: Tensor, names: Sequence[str]) -> None:
    """Raise `InputError` unless images are float32 ``[N, channel, *space]``, finite and in [0, 1]."""
    if images.dtype != torch.float32 or images.ndim not in {4, 5}:
        raise InputError(
            f"images must be float32 with 2 or 3 space axes [N, channel, *space], got {images.dtype} {[*images.shape]}"
        )
    if len(names) != len(images):
        raise InputError(f"ids must name each of {len(images)} images, got {len(names)}")
    if (row := _first(~images.isfinite().flatten(1).all(1))) is not None:
        raise InputError(f"images must be finite, image {names[row]!r} is not")
    outside = (images < 0) | (images > 1)
    if (row := _first(outside.flatten(1).any(1))) is not None:
        low, high = images[row].aminmax()
        raise InputError(f"images must lie in [0, 1], image {names[row]!r} spans [{low:g}, {high:g}]")


def check_request(  # noqa: PLR0913 - everything that was asked, by keyword
    task: Task, images: Tensor, targets: Tensor, goal: Goal, *, names: Sequence[str], batch_size: int
) -> None:
    """Raise `InputError` unless images, targets, goal and batch size fit each other and the task."""
    check_images(images, names)
    if len(targets) != len(images):
        raise InputError(f"targets must be one for each of {len(images)} images, got {len(targets)}")
    if targets.device != images.device:
        raise InputError(f"targets must be where the images are ({images.device}), got {targets.device}")
    task.check_targets(targets)
    if task.dense and targets.shape[1:] != images.shape[2:]:
        raise InputError(f"targets must have the images' size {[*images.shape[2:]]}, got {[*targets.shape[1:]]}")
    if task.boxes:
        check_boxes(images, targets, names)
    if goal.task != task.name:
        allowed = ", ".join(kind.__name__ for kind in GOALS[task.name])
        raise InputError(f"the goal of a {task.name} model must be one of {allowed}; got {type(goal).__name__}")
    if batch_size < 1:
        raise InputError(f"batch_size must be at least 1, got {batch_size}")


def check_boxes(images: Tensor, targets: Tensor, names: Sequence[str]) -> None:
    """Raise `InputError` where a box does not lie inside its image, or the images have no two space axes."""
    if images.ndim != 4:  # noqa: PLR2004 - image, channel, row, column
        raise InputError(f"images with boxes must have 2 space axes, got {[*images.shape]}")
    rows, columns = images.shape[2:]
    corners, limit = targets[..., 1:], targets.new_tensor([columns, rows, columns, rows])
    outside = (targets[..., 0] >= 0) & ((corners < -PIXEL) | (corners > limit + PIXEL)).any(2)
    if (row := _first(outside.any(1))) is not None:
        box = [round(float(one), 3) for one in corners[row][outside[row]][0]]
        raise InputError(f"boxes must lie inside the image of {columns} x {rows} pixels, got {box} in {names[row]!r}")


def allowed_size(budget: Budget, images: Images) -> PerImage:
    """Return the norm up to which a perturbation counts as inside the budget: the radius, and what rounding adds."""
    return budget.radius * (1 + SLACK) + budget.rounding(images)


def check_found(method: str, images: Tensor, found: Tensor, budget: Budget, names: Sequence[str]) -> None:
    """Raise `ContractError` where attacked images are not what the threat allows; nothing is clipped into shape."""
    if found.shape != images.shape or found.dtype != images.dtype:
        raise ContractError(
            f"{method} must return {images.dtype} {[*images.shape]}, got {found.dtype} {[*found.shape]}"
        )
    new = found.detach().to(images.device)
    if (row := _first(~new.isfinite().flatten(1).all(1))) is not None:
        raise ContractError(f"{method} must return finite images, image {names[row]!r} is not")
    if (row := _first(((new < 0) | (new > 1)).flatten(1).any(1))) is not None:
        low, high = new[row].aminmax()
        raise ContractError(f"{method} must stay in [0, 1], image {names[row]!r} spans [{low:g}, {high:g}]")
    size = budget.size(new - images)
    if (row := _first(size > allowed_size(budget, images))) is not None:
        raise ContractError(
            f"{method} must stay within {budget.norm} {budget.radius:g}, image {names[row]!r} is at {size[row]:g}"
        )


def check_logits(logits: Tensor, names: Sequence[str], clean: Callable[[Tensor], Tensor]) -> None:
    """Raise where the model answered NaN: `InputError` if it does so for the clean image, else `ContractError`.

    Args:
        logits: Answers to the attacked images.
        names: Names of the images.
        clean: Rows to the model's logits for those images as they were given.
    """
    if (row := _first(logits.isnan().flatten(1).any(1))) is None:
        return
    if clean(torch.tensor([row], device=logits.device)).isnan().any():
        raise InputError(f"the model must answer with numbers, it gives NaN for image {names[row]!r}")
    raise ContractError(f"the model must answer with numbers, it gives NaN for image {names[row]!r} once attacked")


def _first(flags: Tensor) -> int | None:
    """Return the first row that is set, or None."""
    rows = flags.nonzero()
    return int(rows[0]) if len(rows) else None
