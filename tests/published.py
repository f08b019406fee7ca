"""Small folders in the layout of public data sets: real names, labels and patients where the lists are at hand."""

import csv
import gzip
from pathlib import Path

import numpy as np
from PIL import Image

from aseptic.core.rng import numpy_stream

HEADERS = {
    "Data_Entry_2017_v2020.csv": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y]"
    ),
    "Data_Entry_2017.csv": (
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Sex,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],"
    ),
}
"""First lines of the two versions; the older one ends every line in a comma."""


def write_png(path: Path, *, side: int = 16, mode: str = "L") -> None:
    """Write noise."""
    path.parent.mkdir(parents=True, exist_ok=True)
    channels = {"L": (), "RGB": (3,), "RGBA": (4,)}[mode]
    levels = numpy_stream(0, path.name).integers(0, 256, (side, side, *channels), dtype=np.uint8)
    if mode == "RGBA":
        levels[..., 3] = 255
    Image.fromarray(levels).save(path, format="PNG")  # whatever the ending says


def write_table(folder: Path, rows: list[tuple[str, str, str]], version: str = "Data_Entry_2017_v2020.csv") -> Path:
    """Write the table of NIH ChestX-ray14 from image, findings and patient."""
    folder.mkdir(parents=True, exist_ok=True)
    end = "," if HEADERS[version].endswith(",") else ""
    lines = [f"{image},{found},0,{patient},57,M,PA,2682,2749,0.143,0.143{end}" for image, found, patient in rows]
    (folder / version).write_text("\n".join([HEADERS[version], *lines]) + "\n", "utf-8")
    return folder


def write_lists(folder: Path, train: list[str], test: list[str]) -> None:
    """Write the publishers' lists of NIH ChestX-ray14."""
    (folder / "train_val_list.txt").write_text("\n".join(train), "utf-8")
    (folder / "test_list.txt").write_text("\n".join(test) + "\n", "utf-8")


def real_rows(lists: Path) -> list[tuple[str, str, str]]:
    """Return image, findings and patient of every row of the published table."""
    with gzip.open(lists / "nih_Data_Entry_2017_v2020.csv.gz", "rt", encoding="utf-8", newline="") as file:
        return [(row["Image Index"], row["Finding Labels"], row["Patient ID"]) for row in csv.DictReader(file)]


def real_shares(path: Path) -> dict[str, list[str]]:
    """Return the names in a file of Bortsova et al., read line by line."""
    found: dict[str, list[str]] = {}
    names: list[str] = []
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("- "):
            names.append(line[2:].strip("'") + ".png")
        else:
            names = found.setdefault(line.rstrip(":"), [])
    return found


def write_covidx(folder: Path, name: str, lines: list[str], *, images: str | None = None, side: int = 16) -> Path:
    """Write a list of COVID-Net's, and an image for each of its lines where ``images`` names the folder for them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("\n".join(lines) + "\n", "utf-8")
    for line in lines if images else ():
        write_png(folder / str(images) / line.split()[1], side=side)
    return folder
