"""Which columns of a table are labels, and what a row says."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aseptic.core.errors import InputError, nearest

Row = Mapping[str, str]
"""Column to cell."""

METADATA = frozenset(
    {
        *("file", "label", "split", "patient_id", "patient", "group", "mask", "frame", "source", "origin", "subtype"),
        *(
            "id",
            "image_id",
            "study_id",
            "series_id",
            "view",
            "projection",
            "laterality",
            "age",
            "sex",
            "gender",
            "male",
        ),
        *("female", "site", "year", "date", "fold", "width", "height", "orig_w", "orig_h", "orig_name", "orig_split"),
    }
)
"""Columns that are never findings, in lower case."""
VALUES = {"0": 0.0, "0.0": 0.0, "1": 1.0, "1.0": 1.0, "-1": math.nan, "-1.0": math.nan, "": math.nan, "nan": math.nan}
"""What a finding's cell may hold; -1 means uncertain and is treated as unknown."""
KNOWN = frozenset({"file", "label", "split", "patient_id", "group", "mask", "frame"})
"""Columns with a meaning of their own."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How the rows of one table are labelled."""

    task: str | None
    """Task, or None for no labels."""
    classes: tuple[str, ...]
    """Classes, or findings in the order of their columns."""
    note: str
    """The choice in a sentence."""

    def label(self, row: Row, line: int) -> int | tuple[float, ...] | None:
        """Return the label of a row.

        Raises:
            InputError: It is none of the classes, or not the value of a finding; the message names the row.
        """
        if self.task == "multilabel":
            return tuple(_finding(row, column, line) for column in self.classes)
        if self.task == "multiclass":
            return class_number(row["label"], self.classes, f"row {line}")
        return None


def class_number(text: str, classes: Sequence[str], where: str) -> int:
    """Return the position of a class given by name, or by number where no class is called so.

    Raises:
        InputError: It is neither.
    """
    if text in classes:
        return classes.index(text)
    if _is_number(text) and int(text) < len(classes) and not any(map(_is_number, classes)):
        return int(text)
    raise InputError(f"label must be one of {', '.join(classes)}; got {text!r} in {where}{nearest(text, classes)}")


def finding_columns(columns: Sequence[str], rows: Sequence[Row]) -> tuple[str, ...]:
    """Return the columns that hold only 0, 1, -1 and blanks, at least one of them 0 or 1, and are not metadata."""
    found = [column for column in columns if column.lower() not in METADATA]
    return tuple(
        column
        for column in found
        if all(row[column].lower() in VALUES for row in rows)
        and any(not math.isnan(VALUES[row[column].lower()]) for row in rows)
    )


def plan_labels(columns: Sequence[str], rows: Sequence[Row], task: str | None, classes: Sequence[str] | None) -> Plan:
    """Choose the label column or the finding columns.

    Explicit classes that are all columns are findings. Without classes, two finding columns (one, where there is no
    ``label``) win over the label; a task decides otherwise.

    Raises:
        InputError: The task or the classes ask for columns that are not there.
    """
    found = finding_columns(columns, rows)
    task = task or _infer(columns, found, classes)
    if task == "multilabel":
        return _plan_findings(columns, found, classes)
    if task == "multiclass":
        return _plan_classes(columns, rows, found, classes)
    if task == "segmentation":
        if "mask" not in columns:
            raise InputError(f"segmentation needs a column mask, got the columns {', '.join(columns)}")
        return Plan(task=task, classes=tuple(classes or ()), note="The masks are the targets.")
    if task == "detection":
        raise InputError("a table cannot hold boxes; give the COCO json for the task detection")
    return Plan(task=None, classes=tuple(classes or ()), note="The table has no labels.")


def _infer(columns: Sequence[str], found: Sequence[str], classes: Sequence[str] | None) -> str | None:
    labelled = "label" in columns
    if classes and all(name in columns for name in classes):
        return "multilabel"
    if classes and labelled:
        return "multiclass"
    if len(found) > labelled:
        return "multilabel"
    if labelled:
        return "multiclass"
    return "segmentation" if "mask" in columns else None


def _plan_findings(columns: Sequence[str], found: Sequence[str], classes: Sequence[str] | None) -> Plan:
    chosen = tuple(classes or found)
    if not chosen:
        raise InputError(
            f"multilabel needs columns that hold only 0, 1, -1 or nothing, and none of {', '.join(columns)} does"
        )
    for name in chosen:
        if name not in columns:
            allowed = ", ".join(found or columns)
            raise InputError(f"classes must be columns of the table ({allowed}); got {name!r}{nearest(name, columns)}")
    which = "were chosen as findings" if classes else "hold only 0, 1, -1 or nothing and were taken for findings"
    return Plan(
        task="multilabel", classes=chosen, note=f"The columns {', '.join(chosen)} {which}; -1 and blanks are unknown."
    )


def _plan_classes(
    columns: Sequence[str], rows: Sequence[Row], found: Sequence[str], classes: Sequence[str] | None
) -> Plan:
    if "label" not in columns:
        raise InputError(f"multiclass needs a column label, got the columns {', '.join(columns)}")
    values = {row["label"] for row in rows if row["label"]}
    names = tuple(classes) if classes else tuple(sorted(values, key=int if all(map(_is_number, values)) else None))
    note = "The column label holds the classes."
    if found:
        note = f"The column label holds the classes; {', '.join(found)} look like findings and were not used."
    return Plan(task="multiclass", classes=names, note=note)


def _finding(row: Row, column: str, line: int) -> float:
    if row[column].lower() not in VALUES:
        raise InputError(f"finding {column} must be 0, 1, -1 or nothing; got {row[column]!r} in row {line}")
    return VALUES[row[column].lower()]


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()
