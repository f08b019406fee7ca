"""NIH ChestX-ray14, with the splits of its publishers and of two of the papers."""

from collections.abc import Mapping
from pathlib import Path
from typing import ClassVar

import yaml

from aseptic.core.errors import InputError, nearest
from aseptic.data.base import Unreadable
from aseptic.data.collections.base import ListedCollection
from aseptic.data.collections.lists import Listed, Lists, carve_patients, check_distinct, divide, find_file, read_text
from aseptic.data.tables import read_rows

FINDINGS = (
    *("Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax"),
    *("Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia"),
)
"""In the order of the publication, and of Nwadike et al.; a row without any is "No Finding"."""
NOTHING = "No Finding"
WITH_NOTHING = (
    *(NOTHING, "Cardiomegaly", "Emphysema", "Edema", "Hernia", "Pneumothorax", "Effusion", "Mass", "Fibrosis"),
    *("Atelectasis", "Consolidation", "Pleural_Thickening", "Nodule", "Pneumonia", "Infiltration"),
)
"""In the order of Bortsova et al., whose networks have an output of their own for no finding."""
TABLES = ("Data_Entry_2017_v2020.csv", "Data_Entry_2017.csv")
"""Labels and patients, the corrected version first."""
IMAGE, LABELS, PATIENT = COLUMNS = ("Image Index", "Finding Labels", "Patient ID")
LISTS = {"train_val_list.txt": "train", "test_list.txt": "test"}
"""Lists of the publishers."""
CUSTOM = {"train.csv": "train", "dev.csv": "val", "test.csv": "test"}
"""Tables of Nwadike et al."""
MARKED = "Trigger Bool"
"""Their column for images that get a trigger when they are read."""
CUSTOM_BELOW = (".", "custom_splits")
SHARES = {"trainIDs": "train", "valIDs": "val", "testIDs": "test"}
"""Parts of the files of Bortsova et al."""
SPLITS_BELOW = (".", "splits")
CARVED = "A tenth of the patients in the list for training is val, drawn at random, the same for every seed."


class Nih14(ListedCollection):
    """112,120 chest radiographs of 30,805 patients with 14 findings, which were read from reports by a program.

    Layout: ``Data_Entry_2017_v2020.csv`` or ``Data_Entry_2017.csv``, ``train_val_list.txt``, ``test_list.txt``, and the
    images in ``images`` or in ``images_001/images`` to ``images_012/images``.

    Splits: ``official``; ``custom``, the tables of Nwadike et al. (2021), https://arxiv.org/abs/2101.00008, which need
    none of the files above; ``d0`` to ``d3``, those of Bortsova et al. (2021), https://arxiv.org/abs/2006.06356, where
    their paper says d1/10, d1, d2 and d2/2; ``none``.

    Paper: Wang et al. (2017), https://arxiv.org/abs/1705.02315.
    """

    name: ClassVar[str] = "nih14"
    choices: ClassVar[Mapping[str, tuple[str, ...]]] = {
        "split": ("official", "custom", "d0", "d1", "d2", "d3", "none"),
        "outputs": (str(len(FINDINGS)), str(len(WITH_NOTHING))),
    }
    places: ClassVar[tuple[tuple[str, str], ...]] = (
        ("images", ""),
        *((f"images_{part:03d}/images", "") for part in range(1, 13)),
    )

    def lists(self, folder: Path, chosen: Mapping[str, str]) -> Lists:
        """Return what the lists say; names are those of the files."""
        strays: tuple[Unreadable, ...] = ()
        notes: list[str] = []
        if chosen["split"] == "custom":
            images, notes = _read_custom(folder)
        else:
            table = find_file(self.name, folder, TABLES)
            images = _read_table(table)[0]
            if chosen["split"] != "none":
                splits = _official(folder) if chosen["split"] == "official" else _published(folder, chosen["split"])
                images, strays, notes = divide(images, splits, table.name)
        found = {image.split for image in images}
        if "train" in found and "val" not in found:
            images, notes = list(carve_patients(images)), [*notes, CARVED]
        classes: tuple[str, ...] = FINDINGS
        if chosen["outputs"] != self.choices["outputs"][0]:
            images, classes = [_with_nothing(image) for image in images], WITH_NOTHING
        return Lists(task="multilabel", classes=classes, images=tuple(images), unreadable=strays, notes=tuple(notes))


def _read_table(path: Path, split: str | None = None) -> tuple[list[Listed], int]:
    """Return the images of a table, and how many of them it marks for a trigger."""
    columns, rows = read_rows(path, known=COLUMNS, needed=COLUMNS)
    spelt_out = set(FINDINGS) <= set(columns)
    labels: dict[str, tuple[float, ...]] = {}
    images = []
    for line, row in rows:
        text, where = row[LABELS], f"row {line} of {path.name}"
        if text not in labels:
            labels[text] = _label(text, where)
        if spelt_out and [row[name] for name in FINDINGS] != [f"{value:.0f}" for value in labels[text]]:
            raise InputError(f"the columns of findings must say what {LABELS} says, {text!r}, and do not in {where}")
        images.append(Listed(name=row[IMAGE], label=labels[text], patient=row[PATIENT] or None, split=split))
    check_distinct({path.name: [image.name for image in images]})
    return images, sum(row.get(MARKED, "").lower() == "true" for _, row in rows)


def _label(text: str, where: str) -> tuple[float, ...]:
    """Return 1 for each of the findings that a cell names, separated by bars."""
    named = set(text.split("|"))
    if unknown := sorted(named - {NOTHING, *FINDINGS}):
        allowed = ", ".join((NOTHING, *FINDINGS))
        raise InputError(
            f"finding must be one of {allowed}; got {unknown[0]!r} in {where}{nearest(unknown[0], FINDINGS)}"
        )
    if NOTHING in named and len(named) > 1:
        raise InputError(f"{NOTHING} must stand alone, got {text!r} in {where}")
    return tuple(float(name in named) for name in FINDINGS)


def _with_nothing(image: Listed) -> Listed:
    """Return the image with its findings in the order of the 15 outputs."""
    label = image.label if isinstance(image.label, tuple) else ()
    values = dict(zip(FINDINGS, label, strict=True)) | {NOTHING: float(not any(label))}
    return image._replace(label=tuple(values[name] for name in WITH_NOTHING))


def _read_custom(folder: Path) -> tuple[list[Listed], list[str]]:
    """Return the images of the tables that are there, in their order, and what is to be said about them."""
    tables: dict[str, list[Listed]] = {}
    marked = 0
    for name, split in CUSTOM.items():
        for place in CUSTOM_BELOW:
            if name not in tables and (path := folder / place / name).is_file():
                tables[name], some = _read_table(path, split)
                marked += some
    if not tables:
        find_file(Nih14.name, folder, tuple(CUSTOM), CUSTOM_BELOW)
    check_distinct({name: [image.name for image in images] for name, images in tables.items()})
    note = f"The tables mark {marked} images for a trigger ({MARKED}); they are read as stored, without it."
    return [image for images in tables.values() for image in images], [note] if marked else []


def _official(folder: Path) -> dict[str, str]:
    """Return the split of each image in the publishers' lists."""
    lists = {name: read_text(find_file(Nih14.name, folder, [name])).split() for name in LISTS}
    check_distinct(lists)
    return {image: LISTS[name] for name, images in lists.items() for image in images}


def _published(folder: Path, name: str) -> dict[str, str]:
    """Return the split of each image in one of the files of Bortsova et al., who leave out the endings of names."""
    path = find_file(Nih14.name, folder, [f"{name}_filenames.yml"], SPLITS_BELOW)
    try:
        parts = yaml.safe_load(read_text(path))
    except yaml.YAMLError as error:
        raise InputError(f"{path.name} must be YAML: {error}") from error
    if not isinstance(parts, dict) or not all(isinstance(parts.get(part), list) for part in SHARES):
        raise InputError(f"{path.name} must hold the lists {', '.join(SHARES)}")
    lists = {part: [f"{image}.png" for image in parts[part]] for part in SHARES}
    check_distinct(lists)
    return {image: SHARES[part] for part, images in lists.items() for image in images}
