"""A folder of derived images as a data set of its own: its labels, its patients, its splits."""

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from aseptic.core.record import write_text
from aseptic.data.coco import coco_text
from aseptic.data.imageset import ImageSet
from aseptic.studies.yardsticks.base import Yardstick


def write_labels(
    out: Path, files: Sequence[tuple[str, int]], data: ImageSet, yardstick: Yardstick[Any], *, splits: bool = False
) -> None:
    """Write ``labels.csv``, or ``boxes.json``, for files that were made from images of a labelled set.

    Args:
        out: Folder of the files.
        files: Path of each file below ``out``, and the position of its image in ``data``.
        data: The set whose labels the files have.
        yardstick: How labels of the task are told.
        splits: Whether to say of each image which split it is in.
    """
    if not files:
        return
    if yardstick.task.boxes:
        items = [data.items[i] for _, i in files]
        text = coco_text([file for file, _ in files], items, data.classes, splits=splits)
        write_text(out / "boxes.json", text)
        return
    lines = [
        {
            "file": file,
            **yardstick.labels(data, i, out),
            "patient_id": data.patients[i] or "",
            **({"split": data.items[i].split or ""} if splits else {}),
        }
        for file, i in files
    ]
    with (out / "labels.csv").open("w", newline="", encoding="utf-8") as stream:
        table = csv.DictWriter(stream, lines[0])
        table.writeheader()
        table.writerows(lines)
