"""COVIDx 5, as COVID-Net's lists have it, and the halves that Matsuo and Takemoto made of it."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

from aseptic.core.errors import InputError
from aseptic.data.collections.base import ListedCollection
from aseptic.data.collections.lists import Listed, Lists, check_distinct, find_file, read_text, seek_file

CLASSES = ("normal", "pneumonia", "COVID-19")
"""In the order of COVID-Net's outputs."""
COVID = CLASSES.index("COVID-19")
SPLITS = ("train", "test")
LINE = re.compile(rf"(?P<named>\S+\s.*\S)\s+(?P<label>{'|'.join(CLASSES)})(\s+\S+)?")
"""Patient and file, label, source; read from the end."""
TWICE = re.compile(r"(?P<patient>.+)\s(?P<file>(?P=patient)\.\w+)")
"""Patient and a file that is named after the patient, as most are; either may hold spaces."""
BELOW = (".", "labels")
"""Folders that lists lie in."""
CONFOUNDED = (
    "In COVIDx 5 every normal image comes from one source (rsna) and no COVID-19 image does: a network may have learnt "
    "the source."
)
"""Counted in the lists for training."""


class Covidx5(ListedCollection):
    """13,958 chest radiographs to train on and 300 to test: normal, pneumonia, COVID-19.

    Layout: ``train_COVIDx5.txt`` and ``test_COVIDx5.txt`` (or the two halves of each), in the folder or in ``labels``;
    images in ``data/train`` and ``data/test``, or in ``train`` and ``test``. There is no validation split.

    Papers: Wang, Lin and Wong (2020), https://arxiv.org/abs/2003.09871; Matsuo and Takemoto (2021), Appl. Sci. 11:9556,
    who train a backdoor on half 1 and fine-tune on half 2.
    """

    name: ClassVar[str] = "covidx5"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {"half": ("both", "1", "2")}
    places: ClassVar[tuple[tuple[str, str], ...]] = tuple(
        (f"{folder}{split}", f"{split}/") for folder in ("data/", "") for split in SPLITS
    )

    def lists(self, folder: Path, chosen: Mapping[str, str]) -> Lists:
        """Return what the lists say; names begin with the split."""
        found: dict[str, list[Listed]] = {}
        for split in SPLITS:
            for path in _lists(folder, split, chosen["half"]):
                found[path.name] = _read(path, split)
        check_distinct({name: [image.name for image in images] for name, images in found.items()})
        images = tuple(image for some in found.values() for image in some)
        notes = (CONFOUNDED, *_shared(folder, images, chosen["half"]))
        return Lists(task="multiclass", classes=CLASSES, images=images, notes=notes)


def _name(split: str, half: str = "") -> str:
    return f"{split}_COVIDx5_half_{half}.txt" if half else f"{split}_COVIDx5.txt"


def _lists(folder: Path, split: str, half: str) -> list[Path]:
    """Return the files that name the images of a split; the whole is its own list, or else those of the halves."""
    if half != "both":
        return [find_file(Covidx5.name, folder, [_name(split, half)], BELOW)]
    halves = [seek_file(folder, [_name(split, one)], BELOW) for one in Covidx5.choices["half"][1:]]
    if seek_file(folder, [_name(split)], BELOW) is None and None not in halves:
        return [path for path in halves if path is not None]
    return [find_file(Covidx5.name, folder, [_name(split)], BELOW)]


def _read(path: Path, split: str) -> list[Listed]:
    """Return the images of a list: ``patient file label source`` a line, the source not in every list."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [_image(line.strip(), split, f"line {n} of {path.name}") for n, line in lines if line.strip()]


def _image(line: str, split: str, where: str) -> Listed:
    """Return what one line says; names of files may hold spaces."""
    found = LINE.fullmatch(line)
    if found is None:
        raise InputError(
            f"{where} must be patient, file, label ({', '.join(CLASSES)}) and perhaps source, "
            f"got one that ends in {' '.join(line.split()[-2:])!r}"
        )
    twice = TWICE.fullmatch(found["named"])
    patient, file = (twice["patient"], twice["file"]) if twice else found["named"].split(maxsplit=1)
    return Listed(name=f"{split}/{file}", label=CLASSES.index(found["label"]), patient=patient, split=split)


def _shared(folder: Path, images: Sequence[Listed], half: str) -> tuple[str, ...]:
    """Return a sentence on the patients that half of the training images share with the other half."""
    other = {"1": "2", "2": "1"}.get(half)
    path = None if other is None else seek_file(folder, [_name("train", other)], BELOW)
    if path is None:
        return ()
    here, there = [image for image in images if image.split == "train"], _read(path, "train")
    both = {one.patient for one in here} & {one.patient for one in there}
    ill = {one.patient for one in here if one.label == COVID} & {one.patient for one in there if one.label == COVID}
    if not both:
        return ()
    told = f"share {len(both)} patients, {len(ill)} of them with COVID-19 images in both"
    return (f"The training images of the halves {told}: the one is no independent data for a model of the other.",)
