"""From what a folder, a table or a json says to items: every file is opened, every frame becomes an item."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from aseptic.core.errors import InputError
from aseptic.data.base import Box, Frame, Item, ReadOptions, Unreadable
from aseptic.data.formats import find_format
from aseptic.data.parallel import WORKERS, ahead
from aseptic.data.pseudonyms import pseudonym

SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val"} | {
    "test": "test",
    "testing": "test",
}
"""Names of splits that people use, and ours."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One file that a source lists, before it is opened."""

    path: Path
    """Where it is."""
    label: int | tuple[float, ...] | None = None
    """Class number or findings."""
    patient: str | None = None
    """The patient as the source says it; becomes a pseudonym."""
    split: str | None = None
    """Split, where given."""
    mask: Path | None = None
    """Mask, where given."""
    boxes: tuple[Box, ...] = ()
    """Objects, where given."""
    frame: int | None = None
    """The one frame meant; None means every frame of the file."""


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What a source says before its files are opened."""

    root: Path
    """Folder that names are relative to."""
    task: str | None
    """Task, as far as known."""
    classes: tuple[str, ...]
    """Names of the outputs."""
    entries: tuple[Entry, ...]
    """Its files."""
    unreadable: tuple[Unreadable, ...] = ()
    """What was already kept out."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""


def split_name(text: str, where: str) -> str | None:
    """Return ``train``, ``val`` or ``test`` for what a table says, None for nothing.

    Raises:
        InputError: The name is none that is known.
    """
    if not text.strip():
        return None
    if text.strip().lower() not in SPLITS:
        raise InputError(f"split must be one of train, val, test; got {text!r} in {where}")
    return SPLITS[text.strip().lower()]


def relative(path: Path, root: Path) -> str:
    """Return the path below the root with forward slashes, or the whole path where it is elsewhere."""
    return path.relative_to(root).as_posix() if path.is_relative_to(root) else path.as_posix()


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, sorted; hidden files and folders are none of ours."""
    for path in sorted(folder.iterdir()):
        if path.name.startswith("."):
            continue
        if path.is_dir():
            yield from walk(path)
        else:
            yield path


@dataclass(frozen=True, kw_only=True)
class Opened:
    """What the header of a file says."""

    kind: str
    """Name of its format."""
    frames: Sequence[Frame]
    """The images in it that are meant."""
    patient: str = ""
    """The patient's identifier in a DICOM header."""


def open_entries(
    entries: Sequence[Entry], root: Path, options: ReadOptions
) -> tuple[tuple[Item, ...], tuple[Unreadable, ...]]:
    """Read every file's header, in parallel, and return its images as items, and the files that have none.

    Ids are paths relative to ``root`` (pseudonyms of them for DICOM), with ``#frame`` where a file holds several.
    Where the source names no patients, those of DICOM headers are used, unless it is one for all ("ANONYMOUS").
    """
    results = list(ahead(partial(_open, options=options), entries, workers=WORKERS, bound=64 * WORKERS))
    headers = {found.patient for found in results if isinstance(found, Opened)} - {""}
    trusted = len(headers) > 1 and not any(entry.patient for entry in entries)
    items: list[Item] = []
    unreadable: list[Unreadable] = []
    for entry, found in zip(entries, results, strict=True):
        name = relative(entry.path, root)
        if isinstance(found, str):
            unreadable.append(Unreadable(file=name, reason=found))
        else:
            patient = (found.patient or None) if trusted else entry.patient
            items += [_item(replace(entry, patient=patient), name, found.kind, frame) for frame in found.frames]
    return tuple(items), tuple(unreadable)


def _open(entry: Entry, options: ReadOptions) -> Opened | str:
    """Return what the header says, or the reason why the file is of no use."""
    try:
        form = find_format(entry.path)
        frames = form.probe(entry.path, options)
        patient = _header_patient(entry.path) if form.name == "dicom" else ""
    except InputError as error:
        return str(error)
    if entry.frame is not None:
        frames = [frame for frame in frames if (frame.index or 0) == entry.frame]
        if not frames:
            return f"the file has no frame {entry.frame}"
    try:
        if entry.mask is not None:
            find_format(entry.mask)
    except InputError as error:
        return f"the mask cannot be used: {error}"
    return Opened(kind=form.name, frames=frames, patient=patient)


def _header_patient(path: Path) -> str:
    from aseptic.data.dicom_header import open_header  # noqa: PLC0415 - pydicom only where there is DICOM
    from aseptic.data.dicom_values import text  # noqa: PLC0415 - as above

    return text(open_header(path).dataset, "PatientID")


def _item(entry: Entry, name: str, kind: str, frame: Frame) -> Item:
    name = name if frame.index is None else f"{name}#{frame.index}"
    return Item(
        id=f"dcm-{pseudonym('file', name)}" if kind == "dicom" else name,
        path=entry.path,
        frame=frame.index,
        label=entry.label,
        patient=None if entry.patient is None else pseudonym("patient", entry.patient),
        split=entry.split,
        mask=entry.mask,
        boxes=entry.boxes,
        space=frame.shape[1:],
    )
