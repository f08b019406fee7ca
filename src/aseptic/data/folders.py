"""Folders without a table: class sub-folders, pairs of image and mask, or images alone."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from aseptic.core.errors import InputError
from aseptic.data.formats import find_format
from aseptic.data.labels import class_number
from aseptic.data.scan import SPLITS, Entry, Listing, walk

MASK_FOLDERS = ("masks", "labels")
"""Names of the folder beside ``images`` that holds the masks."""
UNLABELLED_FORMATS = {"dicom", "nifti"}
"""Formats that are sorted into folders by patient or study more often than by class."""
LOOKED_AT = 20
"""Files opened to learn which format a folder holds."""


def list_folder(folder: Path, *, task: str | None, classes: Sequence[str] | None) -> Listing:
    """List the images of a folder by what its sub-folders are called.

    - ``images`` with ``masks`` or ``labels``: pairs with the same stem.
    - ``train``, ``val``, ``test``: splits, of any of the other two.
    - Two or more sub-folders and no image beside them: classes. Folders of DICOM or NIfTI are that only where
      ``classes`` or the task ``multiclass`` say so.
    - Anything else: images without labels, found at any depth.

    Raises:
        InputError: The task needs labels that the folder has not, or a sub-folder is none of ``classes``.
    """
    parts = _folders(folder)
    masks = [name for name in MASK_FOLDERS if name in parts]
    if "images" in parts and masks and task in {None, "segmentation"}:
        return _list_pairs(folder, masks[0], classes)
    if task in {"multilabel", "segmentation", "detection"}:
        needed = "images/ with masks/" if task == "segmentation" else "a labels.csv or a COCO json"
        raise InputError(f"task {task} needs {needed}, and the folder {folder.name} has none")
    tops = [folder / name for name in parts] if parts and set(map(str.lower, parts)) <= set(SPLITS) else [folder]
    explicit = bool(classes) or task == "multiclass"
    if _has_classes(tops, explicit=explicit):
        return _list_classes(folder, tops, classes)
    if task == "multiclass":
        raise InputError(f"task multiclass needs a labels.csv or one sub-folder a class, and {folder.name} has neither")
    entries = tuple(Entry(path=path, split=_split(top, folder)) for top in tops for path in walk(top))
    return Listing(
        root=folder, task=None, classes=tuple(classes or ()), entries=entries, notes=("The images have no labels.",)
    )


def _folders(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith("."))


def _split(top: Path, folder: Path) -> str | None:
    return None if top == folder else SPLITS[top.name.lower()]


def _has_classes(tops: Sequence[Path], *, explicit: bool) -> bool:
    """Return whether the sub-folders are classes, in all splits together."""
    parts = {name for top in tops for name in _folders(top)}
    beside = [path for top in tops for path in top.iterdir() if path.is_file() and not path.name.startswith(".")]
    if (len(parts) < 2 and not (parts and explicit)) or _kind(beside):  # noqa: PLR2004 - one folder is no choice
        return False
    kind = _kind(path for top in tops for path in walk(top))
    return kind is not None and (explicit or kind not in UNLABELLED_FORMATS)


def _kind(paths: Iterable[Path]) -> str | None:
    """Return the format of the first image among the first files."""
    for path, _ in zip(paths, range(LOOKED_AT), strict=False):
        try:
            return find_format(path).name
        except InputError:
            continue
    return None


def _list_classes(folder: Path, tops: Sequence[Path], classes: Sequence[str] | None) -> Listing:
    found = sorted({name for top in tops for name in _folders(top)})
    names = tuple(classes or found)
    labels = {name: class_number(name, names, f"the sub-folders of {folder.name}") for name in found}
    entries = tuple(
        Entry(path=path, label=labels[name], split=_split(top, folder))
        for top in tops
        for name in _folders(top)
        for path in walk(top / name)
    )
    note = f"The classes are the names of the sub-folders: {', '.join(found)}."
    return Listing(root=folder, task="multiclass", classes=names, entries=entries, notes=(note,))


def _list_pairs(folder: Path, masks: str, classes: Sequence[str] | None) -> Listing:
    found: dict[str, Path] = {}
    for path in walk(folder / masks):
        if (stem := _stem(path)) in found:
            raise InputError(f"each image must have one mask, and {stem} has {found[stem].name} and {path.name}")
        found[stem] = path
    entries = tuple(Entry(path=path, mask=found.get(_stem(path))) for path in walk(folder / "images"))
    alone = sum(entry.mask is None for entry in entries)
    unused = len(set(found) - {_stem(entry.path) for entry in entries})
    notes = [f"The masks are the files of {masks} with the same stem as the image."]
    if alone or unused:
        notes.append(f"{alone} images have no mask; {unused} masks have no image.")
    return Listing(root=folder, task="segmentation", classes=tuple(classes or ()), entries=entries, notes=tuple(notes))


def _stem(path: Path) -> str:
    return path.name.removesuffix(".gz").rpartition(".")[0] or path.name
