"""``labels.csv``: one row an image, with a label or one column a finding."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from aseptic.core.errors import InputError, nearest
from aseptic.data.base import Unreadable
from aseptic.data.labels import KNOWN, Plan, Row, plan_labels
from aseptic.data.scan import Entry, Listing, split_name


def list_table(path: Path, *, task: str | None, classes: Sequence[str] | None) -> Listing:
    """List the images of a csv file; its ``file`` and ``mask`` are relative to its folder.

    A blank ``patient_id`` is replaced by ``group`` (near duplicates) where there is one. Rows with a blank label are
    kept out and listed.

    Raises:
        InputError: The table is malformed, or a label, split or frame in it is not one; the message names the row.
    """
    columns, rows = read_rows(path, known=KNOWN, needed=("file",))
    plan = plan_labels(columns, [row for _, row in rows], task, classes)
    entries: list[Entry] = []
    blank: list[Unreadable] = []
    first: dict[tuple[str, str], int] = {}
    for line, row in rows:
        key = (row["file"], row.get("frame", ""))
        if key in first:
            raise InputError(f"each image must have one row, and {row['file']!r} has row {first[key]} and row {line}")
        first[key] = line
        if plan.task == "multiclass" and not row["label"]:
            blank.append(Unreadable(file=row["file"], reason=f"the label is blank in row {line}"))
        else:
            entries.append(_entry(row, line, plan, path.parent))
    notes = [plan.note]
    if grouped := sum(not row.get("patient_id") and bool(row.get("group")) for _, row in rows):
        notes.append(f"The patient of {grouped} images is not known; their group of near duplicates stands for it.")
    return Listing(
        root=path.parent,
        task=plan.task,
        classes=plan.classes,
        entries=tuple(entries),
        unreadable=tuple(blank),
        notes=tuple(notes),
    )


def read_rows(path: Path, *, known: Iterable[str], needed: Sequence[str]) -> tuple[list[str], list[tuple[int, Row]]]:
    """Return the columns, and the rows with their line numbers.

    Args:
        path: A csv file.
        known: Columns that may be in upper or lower case; they come back as here.
        needed: Columns that must be there.

    Raises:
        InputError: It is no csv in UTF-8, lacks a column, has one twice, or a row has another number of cells.
    """
    spelling = {name.lower(): name for name in known}
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file)
            header = [cell.strip() for cell in next(reader, [])]
            columns = [spelling.get(cell.lower(), cell) for cell in header]
            lines = [(reader.line_num, cells) for cells in reader if any(cells)]
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path.name} must be a csv file in UTF-8: {error}") from error
    for name in needed:
        if name not in columns:
            raise InputError(f"{path.name} must have a column {name}, got {', '.join(columns)}{nearest(name, columns)}")
    if len(set(columns)) < len(columns):
        twice = sorted({column for column in columns if columns.count(column) > 1})
        raise InputError(f"{path.name} must have distinct columns, got {', '.join(twice)} twice")
    for line, cells in lines:
        if len(cells) != len(columns):
            raise InputError(f"{path.name} must have {len(columns)} cells in each row, got {len(cells)} in row {line}")
    return columns, [(line, dict(zip(columns, map(str.strip, cells), strict=True))) for line, cells in lines]


def _entry(row: Row, line: int, plan: Plan, folder: Path) -> Entry:
    frame = row.get("frame", "")
    if frame and not (frame.isascii() and frame.isdigit()):
        raise InputError(f"frame must be a whole number from 0, got {frame!r} in row {line}")
    group = row.get("group")
    return Entry(
        path=folder / row["file"],
        label=plan.label(row, line),
        patient=row.get("patient_id") or (f"group {group}" if group else None),
        split=split_name(row.get("split", ""), f"row {line}"),
        mask=folder / row["mask"] if row.get("mask") else None,
        frame=int(frame) if frame else None,
    )
