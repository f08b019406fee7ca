"""From raw rows to findings: which cells a number needs, and what becomes of it where one of them failed."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from aseptic.core.record import Finding
from aseptic.engine.cells import Stored
from aseptic.studies import raw


@dataclass(frozen=True, kw_only=True)
class Computed:
    """The cells that a measure asked for, all of them computed."""

    cells: Mapping[str, Stored]
    """By name."""

    def rows(self, *names: str) -> pd.DataFrame:
        """Return the raw rows of the named cells, or of all, below each other; column ``cell`` says whose they are."""
        return raw.frame({name: self.cells[name].folder for name in names or self.cells})

    def value(self, name: str) -> Mapping[str, Any]:
        """Return what the cell function returned."""
        return self.cells[name].value


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Some findings that are read from the same cells. Pure: the same rows give the same findings."""

    title: str
    """What is measured, in a few words; shown where it could not be."""
    gives: tuple[str, ...]
    """Ids of all findings that it gives; one that is undefined is given with the value null."""
    cells: tuple[str, ...]
    """Names of the cells that it needs."""
    read: Callable[[Computed], Iterable[Finding]]
    """Returns the findings."""
