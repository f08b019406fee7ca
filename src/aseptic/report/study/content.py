"""What the pages of a study show, gathered from the record alone."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.core.record import Finding, Results, read_results
from aseptic.report import words
from aseptic.report.keys import Entry, entry
from aseptic.report.rendering import ALL_PHANTOM, phantom_notes
from aseptic.report.study.card import VERDICTS, Card, Verdict

CLAIM, TRAP = "claim.", "trap."
"""How the ids of findings begin that are claims and traps."""


@dataclass(frozen=True, kw_only=True)
class Told:
    """A claim and how it ended."""

    finding: Finding
    """The finding."""
    verdict: Verdict
    """How it ended."""
    reason: str
    """Why."""
    criterion: str
    """What the numbers had to meet."""
    where: str
    """Where the paper says it."""
    published: str
    """The paper's number as it is written; says where there is none."""
    measured: Sequence[Entry]
    """The numbers that decide, as far as there are any."""


@dataclass(frozen=True, kw_only=True)
class Side:
    """One of the two numbers of a trap."""

    entry: Entry | None
    """The number; None where it was not measured."""
    reason: str
    """Why it was not."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A trap, with both numbers where it has them."""

    finding: Finding
    """The finding."""
    number: str
    """Its number."""
    sides: Mapping[str, Side]
    """``as released`` and ``corrected``; empty where the trap is not a number."""
    done: str
    """What was done about it."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Numbers whose ids begin alike."""

    name: str
    """What the ids begin with."""
    title: str
    """Heading."""
    entries: Sequence[Entry]
    """The numbers, in the order of the record."""


@dataclass(frozen=True, kw_only=True)
class Content:
    """Everything that both pages show."""

    folder: Path
    """The run folder."""
    results: Results
    """The record."""
    digest: str
    """SHA-256 of ``results.json``."""
    card: Card
    """What the study declares."""
    scale: str
    """Scale of the run."""
    claims: Sequence[Told]
    """The claims."""
    traps: Sequence[Pair]
    """The traps."""
    groups: Sequence[Group]
    """All numbers."""
    by_id: Mapping[str, Finding]
    """Numbers by id."""

    @property
    def command(self) -> str:
        """The command that makes this run, without the paths of the machine that it ran on."""
        given = [f"--data {name}=PATH" for name in self.results.config.get("sources", {})]
        seed = self.results.config.get("seed", 0)
        return " ".join(
            ["aseptic study run", self.card.name, f"--scale {self.scale}", *given, f"--seed {seed}", "--out RUN"]
        )

    @property
    def seconds(self) -> float:
        """Seconds that the cells took, whenever they were computed."""
        return math.fsum(self.results.timings.values())

    @property
    def drawn(self) -> dict[str, list[str]]:
        """Name of each data set that a program draws, to what must be said of it."""
        said = {
            name: phantom_notes(one, [str(note) for note in one.get("notes", [])])
            for name, one in self.results.data.items()
        }
        return {name: notes for name, notes in said.items() if notes}

    def phantom_notes(self) -> list[str]:
        """Return what must be said of the data sets that a program draws, each sentence once."""
        return list(dict.fromkeys(note for notes in self.drawn.values() for note in notes))

    def phantom_scope(self) -> str:
        """Return which of the numbers were measured on phantoms, and what that means."""
        if len(self.drawn) == len(self.results.data):
            return ALL_PHANTOM
        return (
            f"What was measured on {' and '.join(self.drawn)} says nothing about patients; the other images are real."
        )

    def headline(self) -> str:
        """Return how many claims ended how, in a few words."""
        counts = {verdict: sum(one.verdict == verdict for one in self.claims) for verdict in VERDICTS}
        if not self.claims:
            return "No claims"
        held = f"{counts['held']} of {len(self.claims)} claims held"
        rest = [f"{counts[verdict]} {verdict}" for verdict in VERDICTS[1:] if counts[verdict]]
        return ", ".join([held, *rest])


def read_content(folder: Path) -> Content:
    """Read the record of a study.

    Raises:
        InputError: There is none, or its card cannot be read.
    """
    results = read_results(folder)
    try:
        card = Card.model_validate(results.config.get("study"))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "study"
        path = folder / "results.json"
        raise InputError(f"{path} has no readable card of a study: {where}: {first['msg']}") from error
    numbers = [one for one in results.findings if not one.id.startswith((CLAIM, TRAP))]
    by_id = {one.id: one for one in numbers}
    return Content(
        folder=folder,
        results=results,
        digest=file_sha256(folder / "results.json"),
        card=card,
        scale=str(results.config.get("scale", "")),
        claims=[_told(one, by_id) for one in results.findings if one.id.startswith(CLAIM)],
        traps=[_pair(one, by_id) for one in results.findings if one.id.startswith(TRAP)],
        groups=_groups(numbers, card.groups),
        by_id=by_id,
    )


def _told(found: Finding, by_id: Mapping[str, Finding]) -> Told:
    args = found.args
    measured = [by_id[name] for name in args.get("measured", []) if name in by_id]
    verdict = args.get("verdict")
    return Told(
        finding=found,
        verdict=verdict if verdict in VERDICTS else "not testable",
        reason=str(args.get("reason", "")),
        criterion=str(args.get("criterion", "")),
        where=str(args.get("where", "")),
        published=published(args.get("published"), measured[0] if measured else None),
        measured=[entry(one) for one in measured],
    )


def published(value: Any, measured: Finding | None) -> str:  # noqa: ANN401 - as it stands in the record
    """Return a published number as the paper writes it, in the unit of the number that it is compared with.

    >>> published(0.85, None), published(1.0, None), published(0.9741, None), published(None, None)
    ('0.85', '1.00', '0.9741', 'none, or not available')
    """
    if not isinstance(value, int | float):
        return "none, or not available"
    if measured is not None and measured.metric in words.SHARES and not measured.unit:
        return f"{100 * value:.6g} %"
    short = f"{value:.2f}"
    return short if float(short) == value and abs(value) <= 1 else f"{value:g}"


def _pair(found: Finding, by_id: Mapping[str, Finding]) -> Pair:
    sides = {}
    for key, label in (("released", "as released"), ("corrected", "corrected")):
        if name := found.args.get(key):
            number = by_id.get(name)
            reason = found.args.get("reasons", {}).get(key) or "not measured at this scale"
            sides[label] = Side(entry=None if number is None else entry(number), reason=reason)
    return Pair(finding=found, number=found.id.removeprefix(TRAP), sides=sides, done=str(found.args.get("done") or ""))


def _groups(numbers: Sequence[Finding], titles: Mapping[str, str]) -> list[Group]:
    found: dict[str, list[Entry]] = {}
    for one in numbers:
        found.setdefault(one.id.partition(".")[0], []).append(entry(one))
    return [Group(name=name, title=titles.get(name) or _title(name), entries=one) for name, one in found.items()]


def _title(name: str) -> str:
    """Return a heading for ids that begin with ``name``.

    >>> _title("fine_tuned")
    'Fine tuned'
    """
    text = name.replace("_", " ").replace("-", " ")
    return text[:1].upper() + text[1:]
