"""Gathers what the cells of an audit left: rows, costs, drift, pictures."""

import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from jaxtyping import Float

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.engine.cells import Cell, Stored
from aseptic.engine.runner import Outcome
from aseptic.studies import raw

TOLD = ("examples.json", "infected.json")
"""Files that say what is in the pictures."""
IDENTITY = ("id", "patient")
"""Columns of the drift rows that are not numbers."""


def stored(cell: Cell, outcomes: Mapping[str, Outcome]) -> Stored | None:
    """Return the computed cell, or None where it failed or was skipped."""
    return outcomes[cell.name].stored


def complete(cells: Iterable[Cell], outcomes: Mapping[str, Outcome]) -> bool:
    """Return whether every one of the cells was computed."""
    return all(stored(cell, outcomes) is not None for cell in cells)


def folders(cells: Iterable[Cell], outcomes: Mapping[str, Outcome]) -> dict[str, Path]:
    """Return the folders of the cells that were computed, by name."""
    return {cell.name: found.folder for cell in cells if (found := stored(cell, outcomes)) is not None}


def cost(name: str, cells: Sequence[Cell], outcomes: Mapping[str, Outcome]) -> Finding:
    """Return what an attack spent on one image and one budget, on average."""
    values = [found.value for cell in cells if (found := stored(cell, outcomes)) is not None]
    spent, images = sum(one["backwards"] for one in values), sum(one["images"] for one in values)
    known = Estimate(value=spent / images, low=float("nan"), high=float("nan"), n=images)
    return finding(
        f"cost.{name}",
        f"Forward and backward passes that {name.upper()} spent on an image and a budget, on average",
        method=name,
        metric="forward_backward",
        estimate=known,
        unit="passes",
    )


def drift(
    cells: Sequence[Cell], outcomes: Mapping[str, Outcome], folder: Path
) -> tuple[dict[str, Float[np.ndarray, " image"]], tuple[str | None, ...]]:
    """Write the rows of the explanations and return their columns with the patients of the images."""
    found = folders(cells, outcomes)
    if not found:
        return {}, ()
    table = raw.gather(found)
    pq.write_table(table, folder / "drift.parquet")
    columns = [name for name in table.column_names if name not in IDENTITY]
    return {name: table[name].to_numpy() for name in columns}, tuple(table["patient"].to_pylist())


def copy_pictures(cell: Cell | None, outcomes: Mapping[str, Outcome], folder: Path) -> None:
    """Copy the pictures of the examples to where the page expects them."""
    if cell is None or (found := stored(cell, outcomes)) is None:
        return
    folder.mkdir(exist_ok=True)
    for file in found.folder.iterdir():
        if file.suffix == ".png" or file.name in TOLD:
            shutil.copyfile(file, folder / file.name)
