"""ISIC 2019: photographs of skin lesions in eight classes, and the lists of the FIBA paper."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from aseptic.core.errors import InputError
from aseptic.data.base import Unreadable
from aseptic.data.collections.base import ListedCollection
from aseptic.data.collections.lists import (
    Listed,
    Lists,
    check_distinct,
    divide,
    draw_splits,
    find_file,
    read_text,
    seek_file,
)
from aseptic.data.labels import Row
from aseptic.data.tables import read_rows

CLASSES = ("MEL", "NV", "BCC", "AK", "BKL", "DF", "VASC", "SCC")
"""In the order of the publication, and of the FIBA paper, whose labels are these numbers."""
UNKNOWN = "UNK"
"""Column that marks none of the images for training."""
COLUMNS = (*CLASSES, UNKNOWN)
YES, NO = {"1", "1.0"}, {"0", "0.0"}
IMAGE, LESION = "image", "lesion_id"
TRUTH, METADATA = "ISIC_2019_Training_GroundTruth.csv", "ISIC_2019_Training_Metadata.csv"
IMAGES = "ISIC_2019_Training_Input"
ENDING = ".jpg"
"""The tables and lists leave it out."""
LISTS = {"train0.txt": "train", "validation0.txt": "val", "test0.txt": "test"}
"""Lists of the FIBA paper."""
NUMBERS, NUMBER = "ISIC2019_grandtruethlabels.csv", "label"
"""Labels of the FIBA paper, spelt as released, and their column."""
LISTS_BELOW = (".", "txt")
GROUPED = "Patients are not published: the images of one lesion count as one patient."


class Isic2019(ListedCollection):
    """25,331 dermatoscopic photographs in eight classes.

    Layout: ``ISIC_2019_Training_GroundTruth.csv``, ``ISIC_2019_Training_Metadata.csv``, and the images in
    ``ISIC_2019_Training_Input``, which may lie in a folder of the same name. The images for test have no labels and are
    not read.

    Splits: ``drawn``, at random with every lesion whole; ``fiba``, ``train0.txt``, ``validation0.txt`` and
    ``test0.txt``, here or in ``txt``, of Feng et al. (2022), https://arxiv.org/abs/2112.01148, which tear lesions
    apart (parts of a lesion then count as lesions of their own, and the report says so); ``none``.

    Papers: Tschandl, Rosendahl and Kittler (2018), https://arxiv.org/abs/1803.10417; Codella et al. (2018),
    https://arxiv.org/abs/1710.05006; Combalia et al. (2019), https://arxiv.org/abs/1908.02288.
    """

    name: ClassVar[str] = "isic2019"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"split": ("drawn", "fiba", "none")}
    places: ClassVar[tuple[tuple[str, str], ...]] = ((IMAGES, ""), (f"{IMAGES}/{IMAGES}", ""))

    def lists(self, folder: Path, chosen: Mapping[str, str]) -> Lists:
        """Return what the tables say; names are those of the files."""
        lesions = _read_lesions(find_file(self.name, folder, [METADATA]))
        images, unknown = _read_truth(find_file(self.name, folder, [TRUTH]), lesions)
        notes = [GROUPED]
        if chosen["split"] == "drawn":
            drawn, told = draw_splits(images, "lesion")
            images, notes = list(drawn), [*notes, told]
        elif chosen["split"] == "fiba":
            _check_numbers(seek_file(folder, [NUMBERS], LISTS_BELOW), images)
            images, strays, left = divide(images, _published(folder, unknown), TRUTH)
            images, torn = _part(images)
            unknown, notes = (*unknown, *strays), [*notes, *left, *torn]
        if alone := sum(image.patient is None for image in images):
            notes.append(f"The lesion of {alone} images is not published: each of them counts as one of its own.")
        return Lists(task="multiclass", classes=CLASSES, images=tuple(images), unreadable=unknown, notes=tuple(notes))


def _read_lesions(path: Path) -> dict[str, str]:
    """Return the lesion of every image, empty where it is not known."""
    _, rows = read_rows(path, known=(IMAGE, LESION), needed=(IMAGE, LESION))
    check_distinct({path.name: [row[IMAGE] for _, row in rows]})
    return {row[IMAGE]: row[LESION] for _, row in rows}


def _read_truth(path: Path, lesions: Mapping[str, str]) -> tuple[list[Listed], tuple[Unreadable, ...]]:
    """Return the images with their class and lesion, and those whose class is unknown."""
    _, rows = read_rows(path, known=(IMAGE, *COLUMNS), needed=(IMAGE, *COLUMNS))
    check_distinct({path.name: [row[IMAGE] for _, row in rows]})
    images: list[Listed] = []
    unknown: list[Unreadable] = []
    for line, row in rows:
        name, label = row[IMAGE] + ENDING, _label(row, f"row {line} of {path.name}")
        if row[IMAGE] not in lesions:
            raise InputError(f"each image of {path.name} must have a row in {METADATA}, and {row[IMAGE]} has none")
        if label == len(CLASSES):
            unknown.append(Unreadable(file=name, reason=f"its class is unknown ({UNKNOWN})"))
        else:
            images.append(Listed(name=name, label=label, patient=lesions[row[IMAGE]] or None))
    return images, tuple(unknown)


def _label(row: Row, where: str) -> int:
    """Return the number of the one column that is marked."""
    cells = [row[name] for name in COLUMNS]
    marked = [i for i, cell in enumerate(cells) if cell in YES]
    if len(marked) != 1 or not set(cells) <= YES | NO:
        raise InputError(
            f"{where} must have 1 in one of {', '.join(COLUMNS)} and 0 in the others, got {', '.join(cells)}"
        )
    return marked[0]


def _published(folder: Path, unknown: Sequence[Unreadable]) -> dict[str, str]:
    """Return the split of each image in the lists of the FIBA paper, but for those whose class is unknown."""
    lists = {name: read_text(find_file(Isic2019.name, folder, [name], LISTS_BELOW)).split() for name in LISTS}
    check_distinct(lists)
    outside = {one.file for one in unknown}
    splits = {image + ENDING: LISTS[name] for name, images in lists.items() for image in images}
    return {name: split for name, split in splits.items() if name not in outside}


def _check_numbers(path: Path | None, images: Sequence[Listed]) -> None:
    """Refuse labels of the FIBA paper, where they are there, that are not those of the publication."""
    if path is None:
        return
    _, rows = read_rows(path, known=(IMAGE, NUMBER), needed=(IMAGE, NUMBER))
    check_distinct({path.name: [row[IMAGE] for _, row in rows]})
    theirs = {row[IMAGE] + ENDING: row[NUMBER] for _, row in rows}
    differ = [image for image in images if theirs.get(image.name, str(image.label)) != str(image.label)]
    if differ:
        name = differ[0].name
        raise InputError(
            f"{path.name} must label images as {TRUTH} does, and {len(differ)} differ: "
            f"{name.removesuffix(ENDING)} is {theirs[name]} there and {differ[0].label} here"
        )


def _part(images: Sequence[Listed]) -> tuple[list[Listed], list[str]]:
    """Return the images with the parts of torn lesions as lesions of their own, and a sentence on them."""
    sides: dict[str, set[str | None]] = defaultdict(set)
    for image in images:
        if image.patient is not None:
            sides[image.patient].add(image.split)
    torn = {lesion for lesion, found in sides.items() if len(found) > 1}
    if not torn:
        return list(images), []
    parted = [
        image._replace(patient=f"{image.patient} in {image.split}") if image.patient in torn else image
        for image in images
    ]
    count = sum(image.patient in torn for image in images)
    told = f"{len(torn)} of {len(sides)} lesions ({count} images) are in several splits, so that results look better"
    return parted, [f"The lists of the FIBA paper part images, not lesions: {told} than they are."]
