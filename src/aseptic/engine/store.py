"""The store of computed cells: a folder for each key, which is complete or absent."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aseptic.core.canon import canonical
from aseptic.engine.cells import Cell, Stored

RECORD = "cell.json"
PARTIAL = ".partial-"


@dataclass(frozen=True)
class Store:
    """Cells on disk. A folder is renamed into place when its cell ends, so a kill leaves no half-written cell."""

    root: Path
    """Folder that holds one folder for each key."""

    def place(self, cell: Cell) -> Path:
        """Return where the cell's files are, or will be."""
        return self.root / cell.key

    def empty(self) -> bool:
        """Return whether nothing was ever computed here."""
        return not self.root.is_dir() or next(self.root.iterdir(), None) is None

    def drop(self, cell: Cell) -> None:
        """Forget a computed cell."""
        shutil.rmtree(self.place(cell), ignore_errors=True)

    def load(self, cell: Cell) -> Stored | None:
        """Return the computed cell, or None when it has not been computed."""
        record = self.place(cell) / RECORD
        if not record.is_file():
            return None
        found = json.loads(record.read_text(encoding="utf-8"))
        return Stored(folder=record.parent, value=found["value"], seconds=found["seconds"])

    @contextmanager
    def partial(self, cell: Cell) -> Iterator[Path]:
        """Give an empty folder to compute in; it is removed unless `commit` has moved it."""
        folder = self.root / f"{PARTIAL}{cell.key[:16]}-{os.getpid()}-{uuid.uuid4().hex[:8]}"
        folder.mkdir(parents=True)
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def commit(self, cell: Cell, folder: Path, value: Mapping[str, Any], seconds: float) -> Stored:
        """Move a computed folder into place; where another process was first, its result stays."""
        record = {
            "name": cell.name,
            "key": cell.key,
            "function": cell.function,
            "version": cell.version,
            "config": dict(cell.config),
            "inputs": {name: one.key for name, one in cell.inputs.items()},
            "seconds": seconds,
            "value": dict(value),
        }
        (folder / RECORD).write_text(canonical(record), encoding="utf-8")
        try:
            folder.rename(self.place(cell))
        except OSError:
            if (first := self.load(cell)) is None:
                raise
            return first
        return Stored(folder=self.place(cell), value=dict(value), seconds=seconds)

    def sweep(self) -> int:
        """Remove what killed runs left half-written; return how many folders that were. Call with no run active."""
        left = list(self.root.glob(f"{PARTIAL}*")) if self.root.is_dir() else []
        for folder in left:
            shutil.rmtree(folder, ignore_errors=True)
        return len(left)
