"""Raw rows on disk: one table for each cell, written before anything is averaged."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

FILE = "rows.parquet"
"""Name of the table in the folder of a cell."""


def save(tables: Sequence[pa.Table], folder: Path) -> None:
    """Write the rows of a cell."""
    pq.write_table(pa.concat_tables(tables), folder / FILE)


def gather(folders: Mapping[str, Path]) -> pa.Table:
    """Return the rows of several cells, in the order of the cells."""
    return pa.concat_tables([pq.read_table(folder / FILE) for folder in folders.values()])


def named(folders: Mapping[str, Path]) -> pa.Table:
    """Return the rows of several cells, whose columns may differ; a first column ``cell`` says whose they are."""
    tables = []
    for name, folder in folders.items():
        table = pq.read_table(folder / FILE)
        tables.append(table.add_column(0, "cell", pa.array([name] * len(table), pa.string())))
    return pa.concat_tables(tables, promote_options="default")


def frame(folders: Mapping[str, Path]) -> pd.DataFrame:
    """Return `named` as a pandas table."""
    found: pd.DataFrame = named(folders).to_pandas()
    return found
