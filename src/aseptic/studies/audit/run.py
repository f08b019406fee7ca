"""`audit`: cells in, findings out; the run folder is complete after every cell."""

import logging
from collections.abc import Mapping
from pathlib import Path

import pyarrow.parquet as pq

from aseptic.attacks.catalogue import ATTACKS
from aseptic.core.errors import InputError
from aseptic.core.record import Finding, Results, finding, write_results
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.engine.runner import Outcome, Planned, Watcher, plan, run_cells
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.scanners.calibration import Null
from aseptic.studies import raw
from aseptic.studies.audit import collect, facts
from aseptic.studies.audit.answers import tabulate
from aseptic.studies.audit.battery import query_only
from aseptic.studies.audit.grid import Grid, make_grid
from aseptic.studies.audit.infecting import check_plan
from aseptic.studies.audit.measure import all_findings, drift_findings, sample_of
from aseptic.studies.audit.pairing import Pair, pair
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.audit.suspicion import hidden, infection_of, joined, suspected
from aseptic.studies.audit.verdict import verdict
from aseptic.studies.running import Asked, Facts, cells_of, record, run_folder
from aseptic.studies.scan.prepared import SCAN_VERDICT, scan_findings
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.make import parse_goal

log = logging.getLogger(__name__)


def prepare(
    subject: Subject,
    data: ImageSet,
    settings: AuditSettings,
    *,
    nulls: Mapping[str, Null] | None = None,
    max_bad: int | None = None,
) -> tuple[Pair, Grid]:
    """Return the pair and the grid of an audit; measures the time of one pass, computes nothing else.

    Args:
        subject: The model.
        data: Images, with or without labels.
        settings: What is asked for.
        nulls: Name of a scanner to the statistics of twins of the model, for the scan of ``settings.scan``.
        max_bad: Unreadable files that are accepted; None accepts any number.

    Raises:
        InputError: Model and data do not fit, the model's task has no such goal, there is no such attack, the suspected
            trigger fits neither, the model cannot be scanned so, or more files than ``max_bad`` cannot be read.
    """
    if nulls and settings.scan is None:
        raise InputError(f"twins of {', '.join(nulls)} must come with a scan, got none")
    parse_goal(settings.goal, subject.task)
    for name in settings.attacks:
        ATTACKS.load(name)
    if settings.plan is not None:
        check_plan(subject, data, settings.plan)
    made = pair(subject, data, max_bad=max_bad)
    if settings.plan is not None:
        check_plan(subject, made.data, settings.plan, pixels=True)
    return made, make_grid(made, settings, nulls)


def dry_run(grid: Grid, out: Path) -> tuple[Planned, ...]:
    """Return what `audit` would compute in this folder, and what it would reuse."""
    return plan(grid.cells(), cells_of(out))


def audit(  # noqa: PLR0913 - a model, its data, where to write, and how
    prepared: tuple[Pair, Grid],
    out: Path,
    *,
    settings: AuditSettings,
    resume: bool = False,
    asked: Asked | None = None,
    watch: Watcher = lambda _: None,
) -> Results:
    """Attack, explain, measure, and write the run folder without its page.

    Args:
        prepared: What `prepare` returned. The model is the same afterwards, or a `ContractError` is raised. Without
            labels, decisions count as wrong when they differ from the clean ones.
        out: Run folder; cells that it holds are reused when ``resume`` is set.
        settings: The settings that `prepare` was given.
        resume: Go on in a folder that already holds a run.
        asked: What the caller asked for, for the record.
        watch: Told of every cell.

    Raises:
        InputError: A pre-flight check refuses the model, or the folder already holds a run.
    """
    (made, grid), asked = prepared, asked or Asked()
    config = {"settings": settings.model_dump(mode="json"), **(asked.config or {})}
    with run_folder(out, config, asked, resume=resume) as store:
        context = {"model": made.subject, "data": made.data, "targets": made.targets}
        context |= {"images": grid.scan.images} if grid.scan else {}
        checks = run_cells([grid.check], store, context=context, watch=watch)  # the guard would hide training mode
        try:
            refuse(checks["preflight"])
        except InputError:
            store.drop(grid.check)  # a corrected command may use the same folder
            raise
        with untouched(made.subject):
            outcomes = run_cells(grid.cells(), store, context=context, watch=_without(grid.check, watch))
        findings = _findings(made, grid, settings, outcomes, out)
        said = Facts(environment=facts.environment(made.subject), model=facts.model(made), data=facts.data(made))
        unscanned = grid.scan.skipped if grid.scan else ()
        skipped = [*facts.not_tested(made, grid.plan, scanned=grid.scan is not None), *unscanned, *grid.unserved]
        results = record(findings, list(outcomes.values()), said, asked=asked, config=config, skipped=skipped)
        write_results(results, out)
    return results


def refuse(outcome: Outcome) -> None:
    """Raise `InputError` with the sentence of the first pre-flight check that refuses the model."""
    for one in outcome.stored.value["checks"] if outcome.stored else ():
        if one["status"] == "refused":
            raise InputError(f"the model cannot be audited: {one['sentence']}")


def _without(cell: Cell, watch: Watcher) -> Watcher:
    return lambda outcome: None if outcome.cell.key == cell.key else watch(outcome)


def _findings(
    made: Pair, grid: Grid, settings: AuditSettings, outcomes: Mapping[str, Outcome], out: Path
) -> list[Finding]:
    """Return what the cells gave, the verdict first; what failed is left out of the numbers."""
    checks = check_findings(outcomes["preflight"])
    whole = {name for name, cells in grid.attacks.items() if collect.complete(cells, outcomes)}
    findings: list[Finding] = []
    first: Finding | None = None
    if whole.intersection(settings.attacks) and collect.complete(grid.clean, outcomes):
        kept = settings.model_copy(
            update={
                "attacks": tuple(name for name in settings.attacks if name in whole),
                "probes": tuple(name for name in settings.probes if name in whole),
            }
        )
        yardstick = yardstick_of(made.subject.task, settings.goal)
        findings = _measured(made, grid, kept, outcomes, out)
        doubts = [*checks, *(one for one in findings if one.id.startswith("doubt."))]
        first = verdict(findings, kept, yardstick, labelled=made.targets is not None, checks=doubts)
    infected = infection_of(made, grid, settings, outcomes, out)
    scanned = _scanned(grid, settings, outcomes, out)
    for said in (suspected(infected), hidden(scanned)):
        first = joined(first, said)
    return [*([first] if first else []), *checks, *findings, *infected, *scanned]


def _scanned(grid: Grid, settings: AuditSettings, outcomes: Mapping[str, Outcome], out: Path) -> list[Finding]:
    """Return what the scanners found, their own verdict first; nothing where none came to an end."""
    if grid.scan is None or settings.scan is None:
        return []
    found = scan_findings(grid.scan, settings.scan, outcomes, out)
    return [one.model_copy(update={"id": SCAN_VERDICT}) if one.id == "verdict" else one for one in found]


def _measured(
    made: Pair, grid: Grid, settings: AuditSettings, outcomes: Mapping[str, Outcome], out: Path
) -> list[Finding]:
    """Gather the raw rows, write them, and return everything that is measured on them."""
    cells = [*grid.clean, *(cell for name in settings.methods for cell in grid.attacks[name])]
    found_rows = raw.gather(collect.folders(cells, outcomes))
    (out / "rows").mkdir(exist_ok=True)
    pq.write_table(found_rows, out / "rows" / "images.parquet")
    table = tabulate(found_rows, yardstick_of(made.subject.task, settings.goal))
    found = all_findings(table, settings, sample_of(table, settings), labelled=made.targets is not None)
    drift, patients = collect.drift(grid.explained, outcomes, out / "rows")
    found += drift_findings(drift, settings, patients)
    found += [collect.cost(name, grid.attacks[name], outcomes) for name in settings.methods if not query_only(name)]
    collect.copy_pictures(grid.examples, outcomes, out / "figures")
    return found


def check_findings(outcome: Outcome) -> list[Finding]:
    """Return the pre-flight checks as findings."""
    severity = {"ok": "info", "warning": "medium", "refused": "critical"}
    return [
        finding(
            f"preflight.{one['name']}",
            one["sentence"],
            method="pre-flight check",
            metric="check",
            args={"status": one["status"], **one["evidence"]},
        ).model_copy(update={"severity": severity[one["status"]]})
        for one in (outcome.stored.value["checks"] if outcome.stored else ())
    ]
