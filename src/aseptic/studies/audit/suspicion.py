"""What an audit finds of a suspected trigger, and what becomes of the verdict."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow.parquet as pq

from aseptic.core.record import SEVERITIES, Finding, Severity, finding
from aseptic.engine.runner import Outcome
from aseptic.studies import raw
from aseptic.studies.audit import collect
from aseptic.studies.audit.grid import Grid
from aseptic.studies.audit.pairing import Pair
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.infection.either import numbers_of, words_of
from aseptic.studies.infection.measure import BACKDOOR, infection_findings, sample_of
from aseptic.studies.infection.telling import infection_sentences
from aseptic.studies.yardsticks.catalogue import yardstick_of

ROWS = "infection.parquet"
"""Raw rows with and without the trigger; apart from those of the attacks, whose clean rows they repeat."""
WORDS: Mapping[Severity, str] = {
    "critical": "This model carries the suspected backdoor.",
    "high": "This model carries the suspected backdoor.",
    "medium": "The suspected trigger sways this model.",
}
"""Severity of an infection to the verdict on it."""
NOT_ATTACKED = "The attacks failed: whether this model can be fooled by small changes was not measured."


def infection_of(
    made: Pair, grid: Grid, settings: AuditSettings, outcomes: Mapping[str, Outcome], out: Path
) -> list[Finding]:
    """Gather the raw rows, write them, and return what is measured on them; nothing where a cell failed."""
    if grid.plan is None or not collect.complete(grid.infected, outcomes):
        return []
    plan, yardstick = grid.plan, yardstick_of(made.subject.task)
    table = raw.gather(collect.folders(grid.infected, outcomes))
    (out / "rows").mkdir(exist_ok=True)
    pq.write_table(table, out / "rows" / ROWS)
    rows = table.to_pandas()
    sample = sample_of(rows, settings.seed, settings.draws)
    measured = numbers_of(rows, yardstick, plan, sample, settings.hit)
    args, titles = words_of(yardstick.task, plan, rows, labelled=made.targets is not None, hit=settings.hit)
    collect.copy_pictures(grid.infected_examples, outcomes, out / "figures")
    return list(infection_findings(measured, plan, args=args, titles=titles))


def judged(attacked: Finding | None, infected: Sequence[Finding]) -> Finding | None:
    """Return the verdict on attacks and on an infection: as severe as the worse of both, which stands first."""
    if not infected:
        return attacked
    sentences, excess = infection_sentences({one.metric: one for one in infected}), _excess(infected)
    if attacked is None:
        return finding(
            "verdict",
            WORDS.get(excess.severity, NOT_ATTACKED),
            method=f"trigger {excess.method}",
            metric="excess",
            args={"text": [*sentences, NOT_ATTACKED]},
            severity=excess.severity,
            threat=BACKDOOR,
        )
    method, said = f"{attacked.method}; trigger {excess.method}", list(attacked.args["text"])
    first = excess.severity != "info" and not _worse(attacked.severity, excess.severity)
    if first:
        said = [*sentences, f"Apart from it: {attacked.title[0].lower()}{attacked.title[1:]}", *said]
    else:
        said = [*said, f"The suspected backdoor: {sentences[0][0].lower()}{sentences[0][1:]}", *sentences[1:]]
    changed = {"title": WORDS[excess.severity], "severity": excess.severity, "threat": BACKDOOR} if first else {}
    return attacked.model_copy(update={"method": method, "args": {**attacked.args, "text": said}, **changed})


def _excess(infected: Sequence[Finding]) -> Finding:
    return next(one for one in infected if one.metric == "excess")


def _worse(first: Severity, second: Severity) -> bool:
    return SEVERITIES.index(first) > SEVERITIES.index(second)
