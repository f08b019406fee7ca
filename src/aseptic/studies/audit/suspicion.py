"""What an audit finds of a suspected trigger, and what that and a scan make of the verdict."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True, kw_only=True)
class Said:
    """What something else than the attacks says of the model."""

    title: str | None
    """The verdict, where it stands first; None where it never does."""
    sentences: Sequence[str]
    """What it says."""
    opening: str
    """How its sentences begin behind those of the attacks."""
    severity: Severity
    """How severe that is."""
    method: str
    """What measured it."""
    metric: str
    """Name of the number."""


def suspected(infected: Sequence[Finding]) -> Said | None:
    """Return what was measured of a suspected trigger, for the verdict; None where nothing was."""
    if not infected:
        return None
    excess = next(one for one in infected if one.metric == "excess")
    return Said(
        title=WORDS.get(excess.severity),
        sentences=infection_sentences({one.metric: one for one in infected}),
        opening="The suspected backdoor",
        severity=excess.severity,
        method=f"trigger {excess.method}",
        metric="excess",
    )


def hidden(scanned: Sequence[Finding]) -> Said | None:
    """Return what scanners found, for the verdict; None where none came to an end."""
    if not scanned:
        return None
    first = scanned[0]
    infected = first.args["answer"] == "infected"
    return Said(
        title=first.title if infected else None,
        sentences=[first.title, *(first.args["text"] if infected else ())],
        opening="The scan for backdoors that nobody has named",
        severity=first.severity,
        method=first.method,
        metric=first.metric,
    )


def joined(first: Finding | None, said: Said | None) -> Finding | None:
    """Return a verdict with something else in it: as severe as the worse of both, which stands first."""
    if said is None:
        return first
    own = [one for one in said.sentences if one != said.title]
    if first is None:
        return finding(
            "verdict",
            said.title or NOT_ATTACKED,
            method=said.method,
            metric=said.metric,
            args={"text": [*own, NOT_ATTACKED]},
            severity=said.severity,
            threat=BACKDOOR,
        )
    text = list(first.args["text"])
    leads = said.title is not None and not _worse(first.severity, said.severity)
    if leads:
        text = [*own, f"Apart from it: {_inner(first.title)}", *text]
    else:
        text += [f"{said.opening}: {_inner(said.sentences[0])}", *said.sentences[1:]]
    changed = {"title": said.title, "severity": said.severity, "threat": BACKDOOR} if leads else {}
    return first.model_copy(
        update={"method": f"{first.method}; {said.method}", "args": {**first.args, "text": text}, **changed}
    )


def _inner(sentence: str) -> str:
    return sentence[0].lower() + sentence[1:]


def _worse(first: Severity, second: Severity) -> bool:
    return SEVERITIES.index(first) > SEVERITIES.index(second)
