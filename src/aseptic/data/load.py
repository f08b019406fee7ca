"""A data set from whatever the user has."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from aseptic.core.errors import InputError, nearest
from aseptic.data.base import ReadOptions
from aseptic.data.coco import is_coco, list_coco
from aseptic.data.collections.loading import is_collection, load_collection
from aseptic.data.folders import list_folder
from aseptic.data.imageset import ImageSet
from aseptic.data.medmnist import load_medmnist
from aseptic.data.scan import Entry, Listing, open_entries
from aseptic.data.sources import FileSource
from aseptic.data.splits import check_splits, make_splits, sample
from aseptic.data.tables import list_table

TASKS = ("multiclass", "multilabel", "segmentation", "detection")
"""What a data set can be labelled for."""
PHANTOM = "phantom:"
"""Begins the name of a generated set."""
TABLE = "labels.csv"
"""The table that a folder may hold."""
DEFAULTS = ReadOptions()
SHOWN = 3
"""Files named in a message."""


def load_data(  # noqa: PLR0913 - the options of the command line
    source: str | Path,
    *,
    split: str | None = None,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    options: ReadOptions = DEFAULTS,
    max_bad: int | None = None,
    limit: int | None = None,
    seed: int = 0,
    val_share: float = 0.1,
    test_share: float = 0.2,
) -> ImageSet:
    """Open a data set: headers are read and checked now, pixels when they are needed.

    Args:
        source: A folder with ``labels.csv``, or a csv; class sub-folders; pairs of images and masks; a COCO json; a
            MedMNIST ``.npz``; a folder of DICOM, NIfTI or other images, or one such file; ``phantom:NAME``; a public
            set in the layout in which it is published, such as ``nih14:PATH``.
        split: Only this split. A set without splits is split at random, patients whole.
        task: ``multiclass``, ``multilabel``, ``segmentation`` or ``detection``, where the source leaves a choice.
        classes: Names of the outputs in the order of the model, or the finding columns to use.
        options: How files are read.
        max_bad: Unreadable files that are accepted; None accepts any number, and lists them.
        limit: A random sample of this many images, classes in proportion.
        seed: Root seed of random splits and samples.
        val_share: Share of the images in a random ``val``.
        test_share: Share of the images in a random ``test``.

    Raises:
        InputError: The source is none of these, a label is no class, a patient is in two splits, or more files than
            ``max_bad`` cannot be read.
    """
    if task is not None and task not in TASKS:
        raise InputError(f"task must be one of {', '.join(TASKS)}; got {task!r}{nearest(task, TASKS)}")
    data = _open(str(source), split=split, task=task, classes=classes, options=options)
    check_splits(data.items)
    notes = list(data.notes)
    known = any(data.patients)
    if not known and data.items:
        notes.append("Patients are not known: every image is treated as a patient of its own.")
    if split is not None and not any(item.split for item in data.items):
        data = replace(data, items=make_splits(data.items, val_share=val_share, test_share=test_share, seed=seed))
        whole = "no patient is in two of them" if known else "by image"
        notes.append(f"The splits were drawn at random with seed {seed}; {whole}.")
    data = replace(data, notes=tuple(notes))
    if split is not None:
        data = data.split(split)
    if max_bad is not None and len(data.unreadable) > max_bad:
        first = "; ".join(f"{one.file}: {one.reason}" for one in data.unreadable[:SHOWN])
        raise InputError(f"max_bad allows {max_bad} unreadable files, got {len(data.unreadable)}: {first}")
    if limit is not None:
        data = data.select(sample(data.items, limit, seed=seed))
    return data


def _open(
    source: str, *, split: str | None, task: str | None, classes: Sequence[str] | None, options: ReadOptions
) -> ImageSet:
    """Return the whole set."""
    if source.startswith(PHANTOM):
        from aseptic.data.phantoms import load_phantom  # noqa: PLC0415 - real data needs no phantoms

        return _agree(load_phantom(source), task, classes)
    if is_collection(source):
        return _agree(load_collection(source, options), task, classes)
    path = _choose(Path(source))
    if path.suffix.lower() == ".npz":
        return _agree(load_medmnist(path, split=split, classes=classes), task, classes)
    listing = _list(path, task, classes)
    if not listing.entries and not listing.unreadable:
        raise InputError(f"data must hold at least one image, and {path} holds no files")
    items, unreadable = open_entries(listing.entries, listing.root, options)
    return ImageSet(
        name=path.stem if path.name != TABLE else path.absolute().parent.name,
        task=listing.task,
        classes=listing.classes,
        items=items,
        source=FileSource(root=listing.root, options=options),
        unreadable=listing.unreadable + unreadable,
        notes=listing.notes,
    )


def _choose(path: Path) -> Path:
    """Return the table, json or archive that describes a folder, or the path itself."""
    if not path.exists():
        raise InputError(
            f"data must be a folder, csv, json, npz or image that exists, {PHANTOM}NAME or COLLECTION:PATH; "
            f"got {str(path)!r}"
        )
    if not path.is_dir():
        return path
    if (path / TABLE).is_file():
        return path / TABLE
    for kind, found in (
        ("COCO json", [one for one in sorted(path.glob("*.json")) if is_coco(one)]),
        ("npz", sorted(path.glob("*.npz"))),
    ):
        if len(found) > 1:
            raise InputError(f"{path} must hold one {kind}, got {', '.join(one.name for one in found)}; give the file")
        if found:
            return found[0]
    return path


def _list(path: Path, task: str | None, classes: Sequence[str] | None) -> Listing:
    if path.is_dir():
        return list_folder(path, task=task, classes=classes)
    if path.suffix.lower() == ".csv":
        return list_table(path, task=task, classes=classes)
    if path.suffix.lower() == ".json":
        if task not in {None, "detection"}:
            raise InputError(f"task must be detection for a COCO json, got {task!r}")
        return list_coco(path, classes=classes)
    return Listing(root=path.parent, task=None, classes=tuple(classes or ()), entries=(Entry(path=path),))


def _agree(data: ImageSet, task: str | None, classes: Sequence[str] | None) -> ImageSet:
    """Return the set where task and classes are as asked for."""
    if task not in {None, data.task}:
        raise InputError(f"task must be {data.task} for {data.name}, got {task!r}")
    if classes and tuple(classes) != data.classes:
        raise InputError(f"classes must be {', '.join(data.classes)} for {data.name}, got {', '.join(classes)}")
    return data
