"""A set of images that are in memory already."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.data.base import Box, Item
from aseptic.data.imageset import ImageSet
from aseptic.data.sources import MemorySource


def memory_set(  # noqa: PLR0913 - what an array cannot say about itself
    name: str,
    images: NDArray[Any] | Tensor,
    targets: Int[Tensor, " image"] | Float[Tensor, "image finding"] | None = None,
    *,
    classes: Sequence[str] = (),
    task: str | None = None,
    ids: Sequence[str] | None = None,
    patients: Sequence[str | None] | None = None,
    splits: Sequence[str | None] | None = None,
    masks: NDArray[Any] | Tensor | None = None,
    boxes: Sequence[Sequence[Box]] | None = None,
    notes: Sequence[str] = (),
) -> ImageSet:
    """Return a set of images held in memory.

    Args:
        name: What the set is called; ids are ``name/00000`` and so on unless given.
        images: ``[image, channel, *space]``: float32 in [0, 1], or uint8 or uint16 levels.
        targets: Class numbers, or findings with NaN for unknown.
        classes: Names of the classes, findings, structures or objects.
        task: ``multiclass``, ``multilabel``, ``segmentation``, ``detection`` or None.
        ids: One distinct name for each image.
        patients: Pseudonyms, one for each image.
        splits: ``train``, ``val`` or ``test``, one for each image.
        masks: Integers ``[image, *space]``.
        boxes: Objects of each image.
        notes: Sentences that a report must show.

    Raises:
        InputError: Something has not one entry for each image, the images are not of a type above or leave [0, 1].
    """
    array = images.detach().cpu().numpy() if isinstance(images, Tensor) else images
    if array.dtype not in {np.dtype(np.uint8), np.dtype(np.uint16), np.dtype(np.float32)}:
        raise InputError(f"images must be float32, uint8 or uint16, got {array.dtype}")
    if array.dtype == np.float32 and array.size and not (array.min() >= 0 and array.max() <= 1):
        raise InputError(f"images must lie in [0, 1], got [{array.min():g}, {array.max():g}]")
    n = len(array)
    given = {"targets": targets, "ids": ids, "patients": patients, "splits": splits, "masks": masks, "boxes": boxes}
    for what, values in given.items():
        if values is not None and len(values) != n:
            raise InputError(f"{what} must have one entry for each of {n} images, got {len(values)}")
    names = list(ids) if ids is not None else [f"{name}/{row:05d}" for row in range(n)]
    labels = [None] * n if targets is None else [tuple(v) if isinstance(v, list) else v for v in targets.tolist()]
    items = tuple(
        Item(id=one, label=label, patient=patient, split=split, boxes=tuple(objects), space=tuple(array.shape[2:]))
        for one, label, patient, split, objects in zip(
            names, labels, patients or [None] * n, splits or [None] * n, boxes or [()] * n, strict=True
        )
    )
    held = () if masks is None else (masks.cpu().numpy() if isinstance(masks, Tensor) else masks,)
    source = MemorySource(arrays=(array,), rows={one: (0, row) for row, one in enumerate(names)}, masks=held)
    return ImageSet(name=name, task=task, classes=tuple(classes), items=items, source=source, notes=tuple(notes))
