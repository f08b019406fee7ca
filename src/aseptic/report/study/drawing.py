"""Draws the charts that a study declares, from the findings that they name."""

from collections.abc import Mapping, Sequence

from aseptic.core.record import Finding
from aseptic.report import words
from aseptic.report.charts import STYLES, Point, Series, curve, legend_rows
from aseptic.report.curves import Panel
from aseptic.report.keys import entry
from aseptic.report.study.card import Chart, Line

GROUND = "#fdfdfb"
"""What charts stand on in a file of their own."""


def panels(charts: Sequence[Chart], by_id: Mapping[str, Finding]) -> list[tuple[str, Panel]]:
    """Return the name of the horizontal axis and a drawn panel, for every chart of which anything was measured."""
    rows = max((legend_rows([line.label for line in chart.lines]) for chart in charts), default=1)
    return [(chart.across, panel) for chart in charts if (panel := _panel(chart, by_id, rows)) is not None]


def on_ground(svg: str) -> str:
    """Return a drawing that can be read by itself, on a page of any colour."""
    end = svg.index(">", svg.index("<svg")) + 1
    return f'{svg[:end]}<rect width="100%" height="100%" fill="{GROUND}"/>{svg[end:]}'


def _panel(chart: Chart, by_id: Mapping[str, Finding], legend: int) -> Panel | None:
    found = {line.label: _measured(line, by_id) for line in chart.lines}
    metrics = {one.metric for line in found.values() for _, one in line}
    if not metrics:
        return None
    series = [
        Series(label=label, colour=colour, points=[_point(across, one) for across, one in line])
        for (label, line), colour in zip(found.items(), STYLES, strict=False)
        if line
    ]
    places = sorted({across for line in found.values() for across, _ in line})
    at = {label: dict(line) for label, line in found.items()}
    return Panel(
        name=chart.name,
        title=chart.title,
        alt=_alt(chart, found),
        caption=chart.caption,
        svg=curve(
            series,
            title=chart.title,
            per_cent=metrics <= words.SHARES,
            across=chart.across,
            axis=chart.axis,
            rows=legend,
        ),
        columns=list(found),
        rows=[(across, [entry(line[across]) if across in line else None for line in at.values()]) for across in places],
    )


def _measured(line: Line, by_id: Mapping[str, Finding]) -> list[tuple[float, Finding]]:
    """Return the points of a line that have a number, from left to right."""
    dots = sorted(line.dots, key=lambda dot: dot.across)
    return [
        (dot.across, found) for dot in dots if (found := by_id.get(dot.finding)) is not None and found.value is not None
    ]


def _point(across: float, found: Finding) -> Point:
    value = 0.0 if found.value is None else found.value
    low, high = (value if end is None else end for end in (found.ci_low, found.ci_high))
    return Point(across=across, value=value, low=low, high=high)


def _alt(chart: Chart, found: Mapping[str, Sequence[tuple[float, Finding]]]) -> str:
    parts = []
    for label, line in found.items():
        said = ", ".join(f"{words.amount(one.value, one.metric, one.unit)} at {across:g}" for across, one in line)
        parts.append(f"{label}: {said}" if said else f"{label}: not measured")
    return f"{chart.title} against {chart.across}. " + "; ".join(parts) + "."
