"""Turns curve, noise and clean findings into drawn panels with their tables."""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aseptic.report import words
from aseptic.report.charts import Point, Series, curve
from aseptic.report.keys import Entry, greys, names, pick
from aseptic.report.wording import wording_of

COLOURS = ("attack1", "attack2", "attack3")
NOISE = "Noise, same size"
LAST = ("turned", "success")
"""Metrics whose curves come last."""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One figure with the numbers behind it."""

    name: str
    """Name of the figure, also of its file."""
    title: str
    """What is drawn."""
    alt: str
    """The figure in words."""
    caption: str
    """The numbers at the size of perturbation that heads the page."""
    svg: str
    """The figure, with literal colours."""
    columns: Sequence[str]
    """Names of the columns of the table."""
    rows: Sequence[tuple[float, Sequence[Entry | None]]]
    """Size of the perturbation or number of questions, and one entry for every column."""


def panels(
    sections: Mapping[str, Sequence[Entry]], task: str, classes: Sequence[str], size: float | None
) -> list[Panel]:
    """Return one panel for every metric that has a curve; captions are for changes of ``size`` grey levels."""
    moved = [*sections["curve"], *(e for e in sections["noise"] if not e.metric.endswith("_drop"))]
    found = {e.metric for e in moved}
    wording = wording_of(task)
    order = (*wording.order, *LAST)
    known = [metric for metric in order if metric in found]
    return [
        _panel(metric, sections, _chance(metric, task, classes), size, wording.metric(metric))
        for metric in (*known, *sorted(found - set(known)))
    ]


def standing(entries: Sequence[Entry]) -> Panel | None:
    """Return the survival curve: how many images stand after so many questions; None where nothing was asked."""
    if not entries:
        return None
    columns = {words.attack_name(name): pick(entries, name=name) for name in _ordered(entries)}
    series = [
        Series(label=label, colour=colour, points=_points(sorted(found, key=lambda e: e.queries)))
        for (label, found), colour in zip(columns.items(), itertools.cycle(COLOURS), strict=False)
    ]
    title, asked = words.metric_name("standing"), sorted({e.queries for e in entries})
    rows = [(float(n), [next((e for e in found if e.queries == n), None) for found in columns.values()]) for n in asked]
    last = [f"{label} {words.amount(found[-1].finding.value, 'standing')}" for label, found in columns.items()]
    return Panel(
        name="survival",
        title=title,
        alt=f"{title} against the number of questions. After the last one: {'; '.join(last)}.",
        caption=f"After {asked[-1]} questions: {'; '.join(last)}.".replace(" %", "\u00a0%"),
        svg=curve(series, title=title, per_cent=True, across="questions about one image"),
        columns=list(columns),
        rows=rows,
    )


def _ordered(entries: Sequence[Entry]) -> list[str]:
    return sorted(names(entries), key=lambda name: (name not in words.ATTACKS, [*words.ATTACKS, name].index(name)))


def _colours(entries: Sequence[Entry]) -> dict[str, str]:
    labels = [words.attack_name(name) for name in _ordered(entries)]
    return dict(zip(labels, itertools.cycle(COLOURS), strict=False)) | {NOISE: "noise"}


def _chance(metric: str, task: str, classes: Sequence[str]) -> float | None:
    if metric.startswith("auroc"):
        return 0.5
    return 1 / len(classes) if metric == "accuracy" and task == "multiclass" and classes else None


def _panel(
    metric: str, sections: Mapping[str, Sequence[Entry]], chance: float | None, size: float | None, title: str
) -> Panel:
    attacks = _ordered(pick(sections["curve"], metric=metric))
    columns = {words.attack_name(name): pick(sections["curve"], name=name, metric=metric) for name in attacks}
    if noise := pick(sections["noise"], metric=metric):
        columns[NOISE] = noise
    start = [e for e in sections["clean"] if e.metric == metric and not e.name][:1]
    colours = _colours(sections["curve"])
    series = [
        Series(label=label, colour=colours[label], points=_points([*start, *entries]))
        for label, entries in columns.items()
    ]
    clean = start[0].finding.value if start else None
    drawn = [line for line in series if line.points]
    rows = [
        (size, [next((e for e in entries if e.grey == size), None) for entries in columns.values()])
        for size in greys(e for entries in columns.values() for e in entries)
    ]
    per_cent = metric in words.SHARES
    svg = curve(drawn, title=title, per_cent=per_cent, clean=clean, chance=chance) if drawn else ""
    return Panel(
        name=f"curve-{metric}",
        title=title,
        alt=_alt(title, columns, clean),
        caption=_caption(columns, size),
        svg=svg,
        columns=list(columns),
        rows=rows,
    )


def _caption(columns: Mapping[str, Sequence[Entry]], size: float | None) -> str:
    parts = []
    for label, entries in columns.items():
        for found in (e.finding for e in entries if e.grey == size and e.finding.value is not None):
            value = words.amount(found.value, found.metric, found.unit)
            parts.append(f"{label} {value} ({words.interval(found)}, {words.count(found)})")
    if size is None or not parts:
        return ""
    return f"At {words.grey(size)}: {'; '.join(parts)}.".replace(" %", "\u00a0%").replace(" = ", "\u00a0=\u00a0")


def _points(entries: Sequence[Entry]) -> list[Point]:
    points = []
    for e in entries:
        if (value := e.finding.value) is not None:
            low, high = (value if end is None else end for end in (e.finding.ci_low, e.finding.ci_high))
            points.append(Point(across=float(e.queries or e.grey), value=value, low=low, high=high))
    return points


def _alt(title: str, columns: Mapping[str, Sequence[Entry]], clean: float | None) -> str:
    parts = [] if clean is None else [f"untouched images {clean:.2f}"]
    for label, entries in columns.items():
        said = ", ".join(f"{e.finding.value:.2f} at {e.grey:g}" for e in entries if e.finding.value is not None)
        parts.append(f"{label}: {said}" if said else f"{label}: not measured")
    return f"{title} against the largest change in grey levels. " + "; ".join(parts) + "."
