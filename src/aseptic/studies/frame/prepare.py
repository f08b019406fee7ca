"""Makes a study ready to run at one scale: the data is opened, the grid is made, and every name is checked."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

from aseptic.core.errors import ContractError, InputError, nearest
from aseptic.engine.cells import Cell, in_order
from aseptic.report.study.card import Chart, Grid
from aseptic.studies.frame.measuring import Measure
from aseptic.studies.frame.scales import Scale
from aseptic.studies.frame.study import Picture, S, Setup, Study, distinct

NAMED = re.compile(r"[a-z0-9]+:")
"""Beginning of a source that is not a path alone: ``phantom:NAME``, ``COLLECTION:PATH``; its reader refuses it."""
RESERVED = ("claim.", "trap.")
"""How the ids of findings begin that the frame gives itself."""


@dataclass(frozen=True, kw_only=True)
class Prepared(Generic[S]):
    """A study that is ready to run."""

    study: Study[S]
    """The study."""
    setup: Setup[S]
    """Scale, settings and data."""
    sources: Mapping[str, str]
    """What was given as data, by name."""
    seed: int
    """Root seed."""
    cells: Sequence[Cell]
    """The grid."""
    measures: Sequence[Measure]
    """Every number."""
    charts: Sequence[Chart]
    """What is drawn."""
    grids: Sequence[Grid]
    """What is shown as a table of many rows and columns."""
    pictures: Sequence[Picture]
    """What cells draw."""


def prepare_study(study: Study[S], *, scale: Scale, sources: Mapping[str, str], seed: int = 0) -> Prepared[S]:
    """Open the data of a study and make its grid; no cell is computed.

    Args:
        study: The study.
        scale: One of its scales.
        sources: Paths (or ``phantom:NAME``, ``COLLECTION:PATH``) of the data sets that the scale needs, by name.
        seed: Root seed.

    Raises:
        InputError: The study has no such scale, a data set is missing, unknown or not there, or it cannot be used.
        ContractError: The study names a cell or a finding that it does not have.
    """
    check_sources(study, scale, sources)
    settings = study.settings(scale, seed)
    data = study.open(scale, settings, sources)
    fingerprints = {name: one.fingerprint() for name, one in data.items()}
    setup = Setup(scale=scale, settings=settings, data=data, fingerprints=fingerprints)
    found = Prepared(
        study=study,
        setup=setup,
        sources=sources,
        seed=seed,
        cells=tuple(in_order(study.cells(setup))),
        measures=study.measures(setup),
        charts=study.charts(setup),
        grids=study.grids(setup),
        pictures=study.pictures(setup),
    )
    _check_names(found)
    return found


def check_sources(study: Study[S], scale: Scale, sources: Mapping[str, str]) -> None:
    """Refuse a scale that the study does not have, and data sets that are missing, unknown or not there."""
    if scale not in study.scales:
        raise InputError(f"scale of {study.name} must be one of {', '.join(study.scales)}; got {scale!r}")
    needs = study.scales[scale].needs
    for name, source in sources.items():
        if name not in needs:
            allowed = f"be one of {', '.join(needs)}" if needs else "not be given"
            raise InputError(
                f"data of {study.name} at scale {scale} must {allowed}; got {name!r}{nearest(name, needs)}"
            )
        if not NAMED.match(source) and not Path(source).exists():
            raise InputError(f"data {name} must be a folder or file that is there, got {source!r}")
    for name, what in needs.items():
        if name not in sources:
            raise InputError(f"{study.name} at scale {scale} needs --data {name}=PATH, {what}; got none")


def _check_names(found: Prepared[S]) -> None:
    """Refuse names that lead nowhere: a mistake of the study, not of its user."""
    study, scale = found.study, found.setup.scale
    names = distinct([cell.name for cell in found.cells], f"cells of study {study.name}")
    for measure in found.measures:
        _known(measure.cells, names, f"cells of the measure of {measure.title!r}")
    _known([picture.cell for picture in found.pictures], names, "cells of pictures")
    given = distinct([one for measure in found.measures for one in measure.gives], f"findings of study {study.name}")
    if taken := [name for name in given if name.startswith(RESERVED)]:
        raise ContractError(f"ids of findings must not begin with {' or '.join(RESERVED)}, got {taken[0]!r}")
    for claim in study.claims:
        if scale not in claim.untestable:
            _known(claim.needs(), given, f"findings of claim {claim.id} at scale {scale}")
    for trap in study.traps:
        pair = {trap.released, trap.corrected} - {""}
        if pair & given:
            _known(pair, given, f"findings of trap {trap.number} at scale {scale}")
    distinct([chart.name for chart in found.charts], f"charts of study {study.name}")
    for chart in found.charts:
        _known([dot.finding for line in chart.lines for dot in line.dots], given, f"findings of chart {chart.name}")
    distinct([grid.name for grid in found.grids], f"grids of study {study.name}")
    for grid in found.grids:
        squares = [square for row in grid.rows for square in row.squares if square is not None]
        named = [name for square in squares for name in (square.finding, square.needs) if name is not None]
        _known(named, given, f"findings of grid {grid.name}")


def _known(names: Iterable[str], known: set[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise ContractError(f"{what} must exist, got {name!r}{nearest(name, known)}")
