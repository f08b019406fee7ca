"""What every run folder has in common: its store of cells, its log, what was asked, and what became of the cells."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import yaml

from aseptic import __version__
from aseptic.core.errors import InputError
from aseptic.core.record import Failed, Finding, Results, Skipped, write_text
from aseptic.engine.runner import Outcome
from aseptic.engine.store import Store


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the caller asked for, in words that go into the record."""

    command: Sequence[str] = ()
    """The command line, empty when called from Python."""
    config: Mapping[str, Any] | None = None
    """Further options of the caller: paths, reading options."""


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What a record says besides what the cells gave."""

    environment: Mapping[str, str]
    """Versions and the machine."""
    model: Mapping[str, Any]
    """The model; empty where a run has none of its own."""
    data: Mapping[str, Any]
    """The data."""


def cells_of(out: Path) -> Store:
    """Return the store of the cells of a run folder."""
    return Store(out / "cells")


@contextmanager
def run_folder(out: Path, config: Mapping[str, Any], asked: Asked, *, resume: bool) -> Iterator[Store]:
    """Open a run folder: its store without what a kill left half-written, its log, and ``config.yaml``.

    Raises:
        InputError: The folder already holds a run, and ``resume`` is not set.
    """
    store = cells_of(out)
    if not resume and not store.empty():
        raise InputError(f"out must be a new folder, or --resume be given; {out} already holds a run")
    with _logged(out):
        store.sweep()
        write_text(out / "config.yaml", yaml.safe_dump({"command": list(asked.command), **config}, sort_keys=False))
        yield store


@contextmanager
def _logged(out: Path) -> Iterator[None]:
    out.mkdir(parents=True, exist_ok=True)
    handler = logging.FileHandler(out / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    root = logging.getLogger("aseptic")
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    try:
        yield
    finally:
        root.removeHandler(handler)
        root.setLevel(level)
        handler.close()


def record(  # noqa: PLR0913 - parts of a record
    findings: Sequence[Finding],
    ended: Sequence[Outcome],
    facts: Facts,
    *,
    asked: Asked,
    config: Mapping[str, Any],
    skipped: Sequence[Skipped] = (),
    failed: Sequence[Failed] = (),
) -> Results:
    """Return the record of a run: what was found, and what became of every cell; ``skipped`` and ``failed`` first."""
    return Results(
        aseptic_version=__version__,
        created=datetime.now(UTC).replace(microsecond=0),
        command=list(asked.command),
        config=dict(config),
        environment=dict(facts.environment),
        model=dict(facts.model),
        data=dict(facts.data),
        findings=list(findings),
        skipped=[*skipped, *_skipped(ended)],
        failed=[*failed, *_failed(ended)],
        timings={outcome.cell.name: round(outcome.stored.seconds, 3) for outcome in ended if outcome.stored},
    )


def _skipped(ended: Iterable[Outcome]) -> list[Skipped]:
    """Return the cells that could not be tried."""
    return [
        Skipped(id=one.cell.name, title=one.cell.name, reason=one.reason) for one in ended if one.state == "skipped"
    ]


def _failed(ended: Iterable[Outcome]) -> list[Failed]:
    """Return the cells that broke, with their tracebacks."""
    return [
        Failed(id=one.cell.name, title=one.cell.name, reason=one.reason, traceback=one.trace)
        for one in ended
        if one.state == "failed"
    ]
