"""MedMNIST archives: ``train_images``, ``train_labels`` and so on in one ``.npz``."""

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from aseptic.core.errors import InputError
from aseptic.data.base import Item
from aseptic.data.imageset import ImageSet
from aseptic.data.sources import MemorySource

SPLITS = ("train", "val", "test")
"""Splits in the order of the archive."""
COLOURS = {1, 3}
"""Lengths of a last axis that is channels, not space."""
Array = NDArray[Any]


def load_medmnist(path: Path, *, split: str | None, classes: Sequence[str] | None) -> ImageSet:
    """Return the images of an archive; with a ``split``, only its images are decompressed.

    One label column is a class number, several are findings. Images are 2-D or 3-D, grey or colour, 8-bit.

    Raises:
        InputError: The file is not such an archive, or ``classes`` are not as many as its labels need.
    """
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as file:
            present = [name for name in SPLITS if f"{name}_images" in file and f"{name}_labels" in file]
            labels = {name: file[f"{name}_labels"] for name in present}
            wanted = [name for name in present if split in {None, name}] or present
            images = {name: _channels_first(file[f"{name}_images"], name) for name in wanted}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{path.name} must be a MedMNIST .npz without pickled objects: {error}") from error
    if not present:
        raise InputError(f"{path.name} must hold train_images, train_labels and so on, and holds none of them")
    task, names = _outputs(labels, classes)
    items: list[Item] = []
    rows: dict[str, tuple[int, int]] = {}
    for number, (name, stored) in enumerate(images.items()):
        if len(stored) != len(labels[name]):
            raise InputError(
                f"{name}_images and {name}_labels must be as many, got {len(stored)} and {len(labels[name])}"
            )
        for row, values in enumerate(labels[name].reshape(len(stored), -1).tolist()):
            one = f"{path.stem}/{name}/{row:05d}"
            label = int(values[0]) if task == "multiclass" else tuple(map(float, values))
            items.append(Item(id=one, label=label, split=name))
            rows[one] = (number, row)
    source = MemorySource(arrays=tuple(images.values()), rows=rows)
    return ImageSet(name=path.stem, task=task, classes=names, items=tuple(items), source=source)


def _channels_first(stored: Array, name: str) -> Array:
    if stored.dtype != np.uint8 or stored.ndim not in {3, 4, 5}:
        raise InputError(f"{name}_images must be uint8 with 3 to 5 axes, got {stored.dtype} {list(stored.shape)}")
    if stored.ndim > 3 and stored.shape[-1] in COLOURS:  # noqa: PLR2004 - image, row, column
        return np.moveaxis(stored, -1, 1)
    return stored[:, None]


def _outputs(labels: dict[str, Array], classes: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """Return the task and the names of the outputs."""
    flat = [values.reshape(len(values), -1) for values in labels.values()]
    columns = {values.shape[1] for values in flat if len(values)}
    if len(columns) > 1 or not all(np.issubdtype(values.dtype, np.number) for values in flat):
        raise InputError(f"labels must be numbers with the same columns in every split, got {sorted(columns)} columns")
    several = max(columns, default=1) > 1
    needed = max(columns) if several else 1 + max((int(values.max()) for values in flat if values.size), default=0)
    names = tuple(classes or map(str, range(needed)))
    if len(names) < needed or (several and len(names) != needed):
        raise InputError(f"classes must be {needed} names, got {', '.join(names)}")
    return ("multilabel" if several else "multiclass"), names
