"""A cell: one pure function of its configuration and of other cells, known by the hash of both."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from aseptic.core.canon import content_key

CellFunction = Callable[["Job"], Mapping[str, Any]]
"""Writes its files into ``job.folder`` and returns a small JSON value."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Cell:
    """What is to be computed. Two cells with the same key are the same cell, in any study and on any machine."""

    name: str
    """Readable name, unique in its grid: ``attack/pgd/0``. Not part of the key."""
    function: str
    """``package.module:function``, so that another process can find it."""
    config: Mapping[str, Any]
    """Everything that the result depends on, as JSON; objects of the context by their content hash."""
    inputs: Mapping[str, "Cell"] = field(default_factory=dict)
    """Cells whose files and values this one reads."""
    version: int = 1
    """Raised whenever the function gives another result for the same configuration."""
    estimate: float | None = None
    """Expected seconds, for the plan. Not part of the key."""

    @property
    def group(self) -> str:
        """The part of the name before the first slash.

        >>> Cell(name="pgd/32", function="a:b", config={}).group
        'pgd'
        """
        return self.name.partition("/")[0]

    @cached_property
    def key(self) -> str:
        """SHA-256 of function, version, configuration and the keys of the inputs."""
        return content_key(
            {
                "function": self.function,
                "version": self.version,
                "config": dict(self.config),
                "inputs": {name: cell.key for name, cell in self.inputs.items()},
            }
        )


@dataclass(frozen=True, kw_only=True)
class Stored:
    """A cell that was computed: where its files lie and what it returned."""

    folder: Path
    """Folder of the cell's files; read only."""
    value: Mapping[str, Any]
    """What the function returned."""
    seconds: float
    """Wall time of the computation, whenever it took place."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a cell function is given."""

    config: Mapping[str, Any]
    """The cell's configuration."""
    inputs: Mapping[str, Stored]
    """The computed inputs."""
    folder: Path
    """An empty folder for this cell's files; it appears in the store when the function returns."""
    context: Mapping[str, Any]
    """Live objects (a model, a data set) that the configuration names by content hash."""


def in_order(cells: Iterable[Cell]) -> Iterator[Cell]:
    """Yield every cell after its inputs, inputs included, each key once."""
    seen: set[str] = set()

    def visit(cell: Cell) -> Iterator[Cell]:
        if cell.key in seen:
            return
        seen.add(cell.key)
        for one in cell.inputs.values():
            yield from visit(one)
        yield cell

    for cell in cells:
        yield from visit(cell)
