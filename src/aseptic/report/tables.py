"""The tables of evidence: damage by class, performance by class, examples, settings."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aseptic.report import words
from aseptic.report.keys import Entry, names
from aseptic.report.load import Picture, read_picture

MAPS = {"map": "Grad-CAM", "saliency": "Saliency"}
"""Key of an example's explanation to its name."""
SHOWN = 15
"""Rows of a table before the rest is folded away."""


@dataclass(frozen=True, kw_only=True)
class Damage:
    """What the attack does to one class at one size."""

    entry: Entry
    """The finding."""
    clean: float | None
    """The same number on the untouched images."""

    @property
    def lost(self) -> float | None:
        """Clean value minus attacked value; None where either is unknown."""
        value = self.entry.finding.value
        return None if value is None or self.clean is None else self.clean - value


@dataclass(frozen=True, kw_only=True)
class Parts:
    """What one attack does to every class at every size."""

    attack: str
    """The attack."""
    columns: Sequence[tuple[str, str]]
    """Class and metric."""
    rows: Sequence[tuple[float, Sequence[Entry | None]]]
    """Size of the perturbation, and one entry for every column."""
    grey: float | None
    """Size that the verdict is about."""


@dataclass(frozen=True, kw_only=True)
class View:
    """One image before or after the attack."""

    decision: str
    """What the model decided."""
    score: str
    """Its score, as written."""
    image: Picture | None
    """The image."""
    maps: Mapping[str, Picture | None]
    """Name of an explanation to its picture."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """One image, untouched and attacked."""

    name: str
    """Identifier in the record, already free of patient data."""
    truth: str
    """True class or findings."""
    budget: str
    """Attack and size in words."""
    why: str
    """Why this one is shown."""
    clean: View
    """Before."""
    attacked: View
    """After."""
    difference: Picture | None
    """Difference, amplified."""
    factor: str
    """How many times the difference is amplified; empty where it is not said."""
    extras: Sequence[tuple[Picture | None, str, str]]
    """Further pictures, with what they show in words, and their captions."""


def damage(entries: Iterable[Entry]) -> dict[float, list[Damage]]:
    """Return, for every size of perturbation, the classes from the most to the least damaged."""
    tables: dict[float, list[Damage]] = {}
    for e in entries:
        clean = e.finding.args.get("clean")
        known = float(clean) if isinstance(clean, int | float) and math.isfinite(clean) else None
        tables.setdefault(e.grey, []).append(Damage(entry=e, clean=known))
    return {size: sorted(tables[size], key=_harm) for size in sorted(tables)}


def _harm(row: Damage) -> float:
    return math.inf if row.lost is None else -row.lost


def by_class(entries: Sequence[Entry]) -> tuple[list[str], list[tuple[str, list[Entry | None]]]]:
    """Return the metrics, and for every class its entry for each of them."""
    entries = [e for e in entries if e.name]
    metrics = list(dict.fromkeys(e.metric for e in entries))
    cells = {(e.name, e.metric): e for e in entries}
    return metrics, [(name, [cells.get((name, metric)) for metric in metrics]) for name in names(entries)]


def parts(entries: Sequence[Entry], grey: float | None) -> list[Parts]:
    """Return a table for each attack that has numbers of single classes; those at the size ``grey`` are open."""
    found = []
    for attack in names(entries):
        mine = [e for e in entries if e.name == attack]
        columns = list(dict.fromkeys((str(e.finding.args.get("class", "")), e.metric) for e in mine))
        cells = {(e.grey, str(e.finding.args.get("class", "")), e.metric): e for e in mine}
        rows = [(size, [cells.get((size, *column)) for column in columns]) for size in sorted({e.grey for e in mine})]
        found.append(Parts(attack=attack, columns=columns, rows=rows, grey=grey))
    return found


def pivot(entries: Sequence[Entry]) -> tuple[list[str], list[tuple[str, float, list[Entry | None]]]]:
    """Return the names, and for every measure and size its entry for each of them."""
    columns = names(entries)
    cells = {(e.metric, e.grey, e.name): e for e in entries}
    rows = dict.fromkeys((e.metric, e.grey) for e in entries)
    return columns, [(metric, size, [cells.get((metric, size, name)) for name in columns]) for metric, size in rows]


def example(folder: Path, found: Mapping[str, Any]) -> Example:
    """Return one comparison with its pictures; what is missing is left out."""
    difference = _mapping(found.get("difference"))
    factor = difference.get("factor")
    size = found.get("grey_levels")
    budget = [words.attack_name(str(found.get("attack", "attack")))]
    if isinstance(size, int | float):
        budget.append(f"at most {words.grey(float(size))} a pixel")
    return Example(
        name=str(found.get("id", "")),
        truth=str(found.get("truth", "not known")),
        budget=", ".join(budget),
        why=str(found.get("why", "")),
        clean=_view(folder, _mapping(found.get("clean"))),
        attacked=_view(folder, _mapping(found.get("attacked"))),
        difference=read_picture(folder, difference.get("image")),
        factor=f"{factor:g}" if isinstance(factor, int | float) else "",
        extras=[
            (read_picture(folder, one.get("image")), str(one.get("alt", "")), str(one.get("caption", "")))
            for one in map(_mapping, found.get("extras") or [])
        ],
    )


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _view(folder: Path, found: Mapping[str, Any]) -> View:
    score = found.get("score")
    return View(
        decision=str(found.get("decision", "not known")),
        score=f"{score:.3f}" if isinstance(score, int | float) else "not known",
        image=read_picture(folder, found.get("image")),
        maps={name: read_picture(folder, found[key]) for key, name in MAPS.items() if key in found},
    )
