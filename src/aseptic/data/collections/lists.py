"""What the lists of a collection say of its images, and how they are found and checked."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item, Unreadable
from aseptic.data.splits import make_splits

SHOWN = 8
"""Names of a folder in a message."""


class Listed(NamedTuple):
    """One image as a list names it: a tuple, because there are a hundred thousand of them."""

    name: str
    """Name in the list, unique in the collection."""
    label: int | tuple[float, ...]
    """Class number, or one value a finding."""
    patient: str | None = None
    """The patient as the list says it; becomes a pseudonym."""
    split: str | None = None
    """``train``, ``val`` or ``test``, where given."""


@dataclass(frozen=True, kw_only=True)
class Lists:
    """All that the lists of a collection say."""

    task: str
    """Task."""
    classes: tuple[str, ...]
    """Names of the outputs."""
    images: tuple[Listed, ...]
    """The images, whether their files are there or not."""
    unreadable: tuple[Unreadable, ...] = ()
    """Names that cannot be used, and why."""
    notes: tuple[str, ...] = ()
    """Sentences for the report."""


def find_file(collection: str, folder: Path, names: Sequence[str], below: Sequence[str] = ("",)) -> Path:
    """Return the first of some files of a collection that is there.

    Args:
        collection: Name of the collection, for the message.
        folder: Where it was unpacked.
        names: Names that the file has in its versions.
        below: Folders it may lie in.

    Raises:
        InputError: None is there; the message gives the names looked for and found.
    """
    if (path := seek_file(folder, names, below)) is not None:
        return path
    where = " or ".join(str(folder / place) for place in below)
    raise InputError(f"{collection} must have {' or '.join(names)} in {where}; {shown(folder)}")


def seek_file(folder: Path, names: Sequence[str], below: Sequence[str] = ("",)) -> Path | None:
    """Return the first of some files that is there, as `find_file` does, or None."""
    return next((path for place in below for name in names if (path := folder / place / name).is_file()), None)


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises:
        InputError: It is not in UTF-8.
    """
    try:
        return path.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path.name} must be text in UTF-8: {error}") from error


def check_distinct(lists: Mapping[str, Sequence[str]]) -> None:
    """Refuse an image that is listed twice.

    Args:
        lists: Names of the images in each list.

    Raises:
        InputError: With the name of the image and of the lists.
    """
    first: dict[str, str] = {}
    for place, names in lists.items():
        for name in names:
            if name in first:
                both = f"twice in {place}" if first[name] == place else f"in {first[name]} and in {place}"
                raise InputError(f"each image must be listed once, and {name} is {both}")
            first[name] = place


def carve_patients(images: Sequence[Listed], *, share: float = 0.1, seed: int = 0) -> tuple[Listed, ...]:
    """Return the images with ``val`` in place of ``train`` for a random share of the patients.

    How many images a patient has plays no part in the draw, so that those of ``val`` are like those of ``train``.
    Images of unknown patients count as patients of their own.
    """
    groups = [image.patient or f"image {i}" for i, image in enumerate(images)]
    known = list(dict.fromkeys(name for name, image in zip(groups, images, strict=True) if image.split == "train"))
    drawn = numpy_stream(seed, "splits", "val").permutation(len(known))[: round(share * len(known))]
    chosen = {known[i] for i in drawn}
    return tuple(
        image._replace(split="val") if image.split == "train" and name in chosen else image
        for name, image in zip(groups, images, strict=True)
    )


def draw_splits(images: Sequence[Listed], unit: str) -> tuple[tuple[Listed, ...], str]:
    """Return the images with a random split, the same for every seed and patients whole, and a sentence that says so.

    Args:
        images: Images without splits.
        unit: What `Listed.patient` names in this collection, for the sentence.
    """
    items = make_splits([Item(id=image.name, label=image.label, patient=image.patient) for image in images])
    drawn = tuple(image._replace(split=item.split) for image, item in zip(images, items, strict=True))
    told = f"70 % train, 10 % val and 20 % test, no {unit} in two of them"
    return drawn, f"The splits were drawn at random, the same for every seed: {told}."


def divide(
    images: Iterable[Listed], splits: Mapping[str, str], table: str
) -> tuple[list[Listed], tuple[Unreadable, ...], list[str]]:
    """Return the images that have a split, names of the splits that the table lacks, and a note on images left out."""
    kept, left = [], 0
    unmet = dict(splits)
    for image in images:
        split = unmet.pop(image.name, None)
        left += split is None
        if split is not None:
            kept.append(image._replace(split=split))
    strays = tuple(
        Unreadable(file=name, reason=f"it has no row in {table}", split=split) for name, split in unmet.items()
    )
    return kept, strays, [f"{left} images of {table} are in no list of the split and were left out."] if left else []


def shown(folder: Path) -> str:
    """Return what a folder holds, in a few words."""
    found = sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
    more = f" and {len(found) - SHOWN} more" if len(found) > SHOWN else ""
    return f"found {', '.join(found[:SHOWN])}{more}" if found else "found nothing"
