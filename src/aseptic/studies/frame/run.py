"""Runs a study: cells in, raw rows and findings out, claims judged, both pages written."""

import shutil
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from aseptic.core.errors import AsepticError, ContractError
from aseptic.core.record import Failed, Finding, Results, Skipped, finding, write_results
from aseptic.engine.runner import Outcome, Planned, Watcher, plan, run_cells
from aseptic.report.study.card import Card, Shown
from aseptic.report.study.page import build_study
from aseptic.studies import facts, raw
from aseptic.studies.frame.claims import Claim
from aseptic.studies.frame.judging import judge, unit_of, writer
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.frame.prepare import Prepared
from aseptic.studies.frame.scales import Scale
from aseptic.studies.frame.traps import Trap
from aseptic.studies.running import Asked, Facts, cells_of, record, run_folder


def plan_study(prepared: Prepared[Any], out: Path) -> tuple[Planned, ...]:
    """Return what `run_study` would compute in this folder, and what it would reuse."""
    return plan(prepared.cells, cells_of(out))


def run_study(  # noqa: PLR0913 - a study, where to write, and how
    prepared: Prepared[Any],
    out: Path,
    *,
    resume: bool = False,
    device: str = "cpu",
    asked: Asked | None = None,
    watch: Watcher = lambda _: None,
) -> Results:
    """Compute the cells of a study, measure, judge, and write the run folder with its pages.

    Args:
        prepared: What `prepare_study` returned.
        out: Run folder; cells that it holds are reused when ``resume`` is set.
        resume: Go on in a folder that already holds a run.
        device: What networks are trained and asked on; cells find it, and the data, in their context.
        asked: What the caller asked for, for the record.
        watch: Told of every cell.

    Raises:
        InputError: The folder already holds a run.
    """
    asked, setup = asked or Asked(), prepared.setup
    config = _config(prepared) | dict(asked.config or {})
    with run_folder(out, config, asked, resume=resume) as store:
        context = {"data": setup.data, "device": device}
        outcomes = run_cells(prepared.cells, store, context=context, watch=watch)
        _write_rows(outcomes, out / "rows")
        _copy_pictures(prepared, outcomes, out)
        found = measure_all(prepared.measures, outcomes)
        judged = [_judged(claim, found, setup.scale) for claim in prepared.study.claims]
        trapped = [_trapped(trap, found) for trap in prepared.study.traps]
        data = {name: facts.data(one, setup.fingerprints[name]) for name, one in setup.data.items()}
        results = record(
            [*judged, *trapped, *found.findings.values()],
            list(outcomes.values()),
            Facts(environment=facts.environment(device), model={}, data=data),
            asked=asked,
            config=config,
            skipped=found.skipped,
            failed=found.failed,
        )
        write_results(results, out)
        build_study(out)
    return results


@dataclass(frozen=True, kw_only=True)
class Found:
    """What the measures gave, and what they could not."""

    findings: dict[str, Finding] = field(default_factory=dict)
    """By id."""
    absent: dict[str, str] = field(default_factory=dict)
    """Id of what could not be measured, to the reason."""
    skipped: list[Skipped] = field(default_factory=list)
    """What was not tried, since a cell is missing."""
    failed: list[Failed] = field(default_factory=list)
    """Measures that broke."""


def measure_all(measures: Sequence[Measure], outcomes: Mapping[str, Outcome]) -> Found:
    """Read every number from the rows; what lacks a cell is skipped, what breaks is named, the rest goes on."""
    found = Found()
    for measure in measures:
        lacking = [outcomes[name] for name in measure.cells if outcomes[name].stored is None]
        if lacking:
            reason = f"it needs {lacking[0].cell.name}, which was {lacking[0].state}: {lacking[0].reason}"
            found.skipped.extend(Skipped(id=name, title=measure.title, reason=reason) for name in measure.gives)
            found.absent.update(dict.fromkeys(measure.gives, reason))
            continue
        try:
            found.findings.update(_read(measure, outcomes))
        except Exception as error:  # noqa: BLE001 - a measure may fail in any way; the others go on
            reason = str(error) if isinstance(error, AsepticError) else f"{type(error).__name__}: {error}"
            trace = traceback.format_exc()
            found.failed.append(Failed(id=measure.gives[0], title=measure.title, reason=reason, traceback=trace))
            found.absent.update(dict.fromkeys(measure.gives, f"measuring it failed: {reason}"))
    return found


def _read(measure: Measure, outcomes: Mapping[str, Outcome]) -> dict[str, Finding]:
    stored = {name: one for name in measure.cells if (one := outcomes[name].stored) is not None}
    given = {one.id: one for one in measure.read(Computed(cells=stored))}
    if set(given) != set(measure.gives):
        odd = ", ".join(sorted(set(given) ^ set(measure.gives)))
        raise ContractError(f"the measure of {measure.title!r} must give what it says, got another answer on {odd}")
    return {name: given[name] for name in measure.gives}


def _config(prepared: Prepared[Any]) -> dict[str, Any]:
    study, setup = prepared.study, prepared.setup
    card = Card(
        name=study.name,
        title=study.title,
        paper=study.paper,
        departures=study.scales[setup.scale].departures,
        groups=dict(study.groups),
        charts=tuple(prepared.charts),
        grids=tuple(prepared.grids),
        pictures=tuple(
            Shown(file=_place(one.cell, one.file), alt=one.alt, caption=one.caption) for one in prepared.pictures
        ),
    )
    return {
        "study": card.model_dump(mode="json"),
        "scale": setup.scale,
        "seed": prepared.seed,
        "sources": dict(prepared.sources),
        "data": {name: {"fingerprint": one} for name, one in setup.fingerprints.items()},
        "settings": setup.settings.model_dump(mode="json"),
    }


def _judged(claim: Claim, found: Found, scale: Scale) -> Finding:
    judged = judge(claim, found.findings, found.absent, scale)
    return finding(
        f"claim.{claim.id}",
        claim.words,
        method="claim",
        metric="claim",
        args={
            "verdict": judged.verdict,
            "reason": judged.reason,
            "published": claim.published,
            "measured": list(claim.needs()),
            "criterion": claim.criterion.describe(
                writer([claim.criterion.low, claim.criterion.high], _unit(claim, found))
            ),
            "where": claim.where,
        },
    )


def _unit(claim: Claim, found: Found) -> str:
    known = [found.findings[name] for name in claim.findings if name in found.findings]
    return unit_of(known[0], difference=bool(claim.criterion.other)) if known else ""


def _trapped(trap: Trap, found: Found) -> Finding:
    pair = {"released": trap.released, "corrected": trap.corrected}
    reasons = {key: found.absent.get(name, "") for key, name in pair.items() if name and name not in found.findings}
    return finding(
        f"trap.{trap.number}",
        trap.words,
        method="trap",
        metric="trap",
        args={**{key: name or None for key, name in pair.items()}, "done": trap.done, "reasons": reasons},
    )


def _write_rows(outcomes: Mapping[str, Outcome], folder: Path) -> None:
    """Write one table for each group of cells that left rows, and nothing of an earlier grid."""
    shutil.rmtree(folder, ignore_errors=True)
    groups: dict[str, dict[str, Path]] = {}
    for name, outcome in outcomes.items():
        if outcome.stored and (outcome.stored.folder / raw.FILE).is_file():
            groups.setdefault(outcome.cell.group, {})[name] = outcome.stored.folder
    for group, folders in groups.items():
        folder.mkdir(exist_ok=True)
        pq.write_table(raw.named(folders), folder / f"{group}.parquet")


def _place(cell: str, file: str) -> str:
    """Return where a picture of a cell lies in the run folder."""
    return f"figures/{cell.replace('/', '-')}-{file}"


def _copy_pictures(prepared: Prepared[Any], outcomes: Mapping[str, Outcome], out: Path) -> None:
    for picture in prepared.pictures:
        stored = outcomes[picture.cell].stored
        if stored and (stored.folder / picture.file).is_file():
            (out / "figures").mkdir(exist_ok=True)
            shutil.copyfile(stored.folder / picture.file, out / _place(picture.cell, picture.file))
