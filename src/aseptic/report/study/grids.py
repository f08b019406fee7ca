"""Fills the grids that a study declares with what the findings say: short numbers, intervals, sides of a limit."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise
from typing import Literal

from aseptic.core.record import Finding
from aseptic.report import words
from aseptic.report.study.card import Column, Grid, Square

Tone = Literal["good", "bad", ""]
MARKS: Mapping[Tone, str] = {"good": "\u2713", "bad": "\u2715", "": ""}
"""Side of the limit to its mark, so that colour says nothing alone."""
UNSURE = "its interval contains the limit"
"""Said of a number whose interval lies on both sides."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """What is shown in one place of a grid."""

    finding: Finding | None
    """The finding; None where there is none."""
    value: str
    """The number in a few signs; empty where it was not measured."""
    interval: str
    """Its interval; empty where it has none."""
    mark: str
    """A sign for the side, in brackets where the interval lies on both."""
    tone: Tone
    """The side on which the whole interval lies."""
    said: str
    """The sign in words."""


@dataclass(frozen=True, kw_only=True)
class Headed:
    """A column."""

    label: str
    """Its heading."""
    group: str
    """Heading above it."""
    first: bool
    """Whether it is the first of its group."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """A filled grid."""

    name: str
    """Its name."""
    title: str
    """What is shown."""
    caption: str
    """How to read it."""
    legend: str
    """What the marks mean."""
    groups: Sequence[tuple[str, int]]
    """Headings of the groups of columns, and how many each spans."""
    columns: Sequence[Headed]
    """Columns."""
    rows: Sequence[tuple[str, Sequence[Place | None]]]
    """Heading of each row, and its places; None stays empty."""


def tables_of(grids: Sequence[Grid], by_id: Mapping[str, Finding]) -> list[Table]:
    """Return every grid of which anything was measured, filled."""
    return [_filled(grid, by_id) for grid in grids if any(name in by_id for name in _names(grid))]


def _names(grid: Grid) -> list[str]:
    return [square.finding for row in grid.rows for square in row.squares if square is not None]


def _filled(grid: Grid, by_id: Mapping[str, Finding]) -> Table:
    return Table(
        name=grid.name,
        title=grid.title,
        caption=grid.caption,
        legend=_legend(grid, by_id),
        groups=[(group, len([*columns])) for group, columns in groupby(grid.columns, lambda one: one.group)],
        columns=_headed(grid.columns),
        rows=[(row.label, [_place(square, grid, by_id) for square in row.squares]) for row in grid.rows],
    )


def _legend(grid: Grid, by_id: Mapping[str, Finding]) -> str:
    shares = any(_is_share(by_id[name]) for name in _names(grid) if name in by_id)
    return (
        f"{MARKS['good']} {grid.good}, {MARKS['bad']} {grid.bad}; in brackets where the 95 % interval, in small "
        f"print, contains the limit.{' Shares are in per cent.' if shares else ''}"
    )


def _headed(columns: Sequence[Column]) -> list[Headed]:
    new = [True, *(before.group != after.group for before, after in pairwise(columns))]
    return [Headed(label=one.label, group=one.group, first=first) for one, first in zip(columns, new, strict=True)]


def _place(square: Square | None, grid: Grid, by_id: Mapping[str, Finding]) -> Place | None:
    if square is None:
        return None
    found = by_id.get(square.finding)
    if found is None or found.value is None:
        return Place(finding=found, value="", interval="", mark="", tone="", said="")
    meant = square.needs is None or ((other := by_id.get(square.needs)) is not None and other.value is not None)
    side = _side(found.value, square) if meant else ""
    known = [end for end in (found.ci_low, found.ci_high) if end is not None]
    sure = bool(known) and all(_side(end, square) == side for end in known)
    said = {"good": grid.good, "bad": grid.bad, "": ""}[side]
    ends = [brief(end, found) for end in known]
    return Place(
        finding=found,
        value=brief(found.value, found),
        interval="\u2013".join(ends) if not any(end < 0 for end in known) else " to ".join(ends),
        mark=MARKS[side] if sure or not side else f"({MARKS[side]})",
        tone=side if sure else "",
        said=said if sure or not said else f"{said}, but {UNSURE}",
    )


def _side(value: float, square: Square) -> Tone:
    if square.limit is None:
        return ""
    bad = value >= square.limit if square.bad == "above" else value < square.limit
    return "bad" if bad else "good"


def brief(value: float, found: Finding) -> str:
    """Return a number in as few signs as can be, shares in per cent; the tables of all numbers have more digits.

    >>> brief(0.9876, Finding(id="a", title="a", method="a", metric="tpr"))
    '99'
    >>> brief(0.9876, Finding(id="a", title="a", method="a", metric="auroc"))
    '.99'
    """
    if _is_share(found):
        return f"{100 * value:.0f}".replace("-", "\u2212")
    return f"{value:.2f}".replace("0.", ".", abs(value) < 1).replace("-", "\u2212")


def _is_share(found: Finding) -> bool:
    return found.metric in words.SHARES and not found.unit
