"""Runs a grid of cells: what is stored is reused, what fails stays local, and the rest goes on."""

import importlib
import logging
import time
import traceback
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from aseptic.core.errors import AsepticError
from aseptic.engine.cells import Cell, CellFunction, Job, Stored, in_order
from aseptic.engine.store import Store

log = logging.getLogger(__name__)

State = Literal["running", "reused", "done", "failed", "skipped"]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a cell ended: computed or reused (then ``stored`` is there), failed, or skipped for a failed input."""

    cell: Cell
    state: State
    stored: Stored | None = None
    reason: str = ""
    """One sentence, for failed and skipped cells."""
    trace: str = ""
    """The traceback of a failed cell."""


Watcher = Callable[[Outcome], None]
"""Told of every change of state; must not raise."""


def _find(name: str) -> CellFunction:
    module, _, attribute = name.partition(":")
    function: CellFunction = getattr(importlib.import_module(module), attribute)
    return function


def _compute(cell: Cell, store: Store, inputs: Mapping[str, Stored], context: Mapping[str, Any]) -> Stored:
    with store.partial(cell) as folder:
        start = time.perf_counter()
        value = _find(cell.function)(Job(config=cell.config, inputs=inputs, folder=folder, context=context))
        return store.commit(cell, folder, value, time.perf_counter() - start)


def _settle(cell: Cell, store: Store, ended: Mapping[str, Outcome], context: Mapping[str, Any]) -> Outcome:
    inputs: dict[str, Stored] = {}
    for name, one in cell.inputs.items():
        if (stored := ended[one.key].stored) is None:
            return Outcome(cell=cell, state="skipped", reason=f"it needs {one.name}, which was {ended[one.key].state}")
        inputs[name] = stored
    try:
        stored = _compute(cell, store, inputs, context)
    except Exception as error:  # noqa: BLE001 - a cell may fail in any way; the grid goes on
        reason = str(error) if isinstance(error, AsepticError) else f"{type(error).__name__}: {error}"
        return Outcome(cell=cell, state="failed", reason=reason, trace=traceback.format_exc())
    return Outcome(cell=cell, state="done", stored=stored)


def run_cells(
    cells: Iterable[Cell],
    store: Store,
    *,
    context: Mapping[str, Any] | None = None,
    watch: Watcher = lambda _: None,
) -> dict[str, Outcome]:
    """Compute every cell after its inputs and return the outcomes by the cells' names.

    A stored cell is never computed again. A failed cell is not stored, so the next run tries it again; cells that need
    it are skipped. An interrupt ends the run and leaves the finished cells in the store.
    """
    ended: dict[str, Outcome] = {}
    for cell in in_order(cells):
        if (stored := store.load(cell)) is not None:
            outcome = Outcome(cell=cell, state="reused", stored=stored)
        else:
            watch(Outcome(cell=cell, state="running"))
            outcome = _settle(cell, store, ended, context or {})
        ended[cell.key] = outcome
        log.info(
            "%s %s [%s]%s", outcome.state, cell.name, cell.key[:12], f": {outcome.reason}" if outcome.reason else ""
        )
        if outcome.trace:
            log.error("%s", outcome.trace)
        watch(outcome)
    return {outcome.cell.name: outcome for outcome in ended.values()}


@dataclass(frozen=True, kw_only=True)
class Planned:
    """One line of a plan."""

    cell: Cell
    stored: bool
    """Whether the cell need not be computed."""


def plan(cells: Iterable[Cell], store: Store) -> tuple[Planned, ...]:
    """Return what a run would do, in its order, without doing it."""
    return tuple(Planned(cell=cell, stored=store.load(cell) is not None) for cell in in_order(cells))
