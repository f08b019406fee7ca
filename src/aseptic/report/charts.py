"""Draws the figures of the page with matplotlib; nothing is measured here."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from aseptic.report.calibration import Bin
from aseptic.report.svg import PALETTE, SETTINGS, write_svg

STYLES = {
    "attack1": ("o", "-"),
    "attack2": ("^", "-"),
    "attack3": ("D", "-"),
    "noise": ("s", "--"),
    "clean": ("v", "-"),
}
"""Colour to marker and line, so that series differ without colour."""
SIZE = (4.4, 3.7)
"""Width and height of a figure, in inches."""
SIZES = "largest change, grey levels of 255"
"""What the security curve is drawn against."""
ROWS = 3
"""Lines of legend that every curve leaves room for."""
WIDE = 33
"""Letters of a title that fit at its own size."""
BESIDE = 34
"""Letters of two labels that fit side by side."""
ROOM = 0.06
"""Share of the axis that the name of one place needs."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured point of a curve."""

    across: float
    """Size of the perturbation in grey levels, or number of questions."""
    value: float
    """The number."""
    low: float
    """Lower end of its 95 % interval."""
    high: float
    """Upper end of its 95 % interval."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """One line of a curve."""

    label: str
    """Name in the legend."""
    colour: str
    """One of `STYLES`."""
    points: Sequence[Point]
    """Points from left to right."""


def curve(  # noqa: PLR0913 - lines and what stands around them, by keyword
    series: Sequence[Series],
    *,
    title: str,
    per_cent: bool,
    clean: float | None = None,
    chance: float | None = None,
    across: str = SIZES,
    axis: Literal["doubling", "linear"] = "doubling",
    rows: int = ROWS,
) -> str:
    """Return a curve as SVG.

    Args:
        series: Lines.
        title: What is drawn.
        per_cent: Whether the numbers are shares.
        clean: The number of the untouched images, where it is drawn as a line of its own.
        chance: The number that guessing gives.
        across: Name of the horizontal axis.
        axis: ``doubling`` is logarithmic, and 0 (untouched images) has a first place of its own.
        rows: Lines of legend to leave room for, so that figures side by side line up.
    """
    sizes = sorted({point.across for line in series for point in line.points})
    at = {size: place(size, sizes) if axis == "doubling" else size for size in sizes}
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE)
        axes = figure.add_subplot()
        for line in series:
            _line(axes, line, at)
        if clean is not None:
            axes.axhline(clean, color=PALETTE["clean"], linewidth=1.4, linestyle=(0, (6, 3)), label="untouched images")
        if chance is not None:
            axes.axhline(chance, color=PALETTE["muted"], linewidth=1.2, linestyle=":", label="guessing")
        ticks = _ticks(at)
        axes.set_xticks([at[size] for size in ticks], [f"{size:g}" for size in ticks])
        axes.set_xlabel(across)
        if all(0 <= end <= 1 for line in series for p in line.points for end in (p.value, p.low, p.high)):
            _share_axis(axes, per_cent=per_cent)
        axes.grid(visible=False, axis="x")
        axes.set_title(title, fontsize=13 * min(1, WIDE / len(title)), fontweight="bold", pad=10)
        _finish(figure, rows=rows)
        return write_svg(figure)


def place(size: float, sizes: Sequence[float]) -> float:
    """Return where a size stands on the axis: one step for every doubling, and 0 one step before the smallest.

    >>> [place(size, [0.0, 0.25, 0.5, 2.0]) for size in (0.0, 0.25, 0.5, 2.0)]
    [0.0, 1.0, 2.0, 4.0]
    """
    return 0.0 if size <= 0 else 1 + math.log2(size / min(s for s in sizes if s > 0))


def _ticks(at: Mapping[float, float]) -> list[float]:
    """Return the sizes that are named on the axis: both ends, and between them those that leave each other room.

    >>> _ticks({0.0: 0.0, 1.0: 1.0, 50.0: 50.0, 98.0: 98.0, 100.0: 100.0})
    [0.0, 50.0, 100.0]
    """
    first, *others = sorted(at)
    room, kept = ROOM * (max(at.values()) - at[first]), [first]
    for size in reversed(others):
        if at[size] - at[first] >= room and (kept[-1] == first or at[kept[-1]] - at[size] >= room):
            kept.append(size)
    return sorted(kept)


def diagram(bins: Sequence[Bin]) -> str:
    """Return the reliability diagram as SVG: what came true against what was stated."""
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=SIZE)
        axes, counts = figure.subplots(2, 1, sharex=True, height_ratios=[4, 1])
        axes.plot([0, 1], [0, 1], color=PALETTE["muted"], linewidth=1.2, linestyle=":", label="perfect calibration")
        stated, observed = [b.stated for b in bins], [b.observed for b in bins]
        ends = [[b.observed - b.low for b in bins], [b.high - b.observed for b in bins]]
        axes.errorbar(
            stated, observed, yerr=ends, color=PALETTE["clean"], marker="o", markersize=6, linewidth=1.6,
            elinewidth=1.6, capsize=3, label="this model",
        )  # fmt: skip
        axes.set_xlim(-0.02, 1.02)
        _share_axis(axes, per_cent=True)
        axes.set_title("Share that was true", fontsize=13, fontweight="bold", pad=10)
        counts.bar(stated, [b.n for b in bins], width=0.04, color=PALETTE["clean"])
        counts.set_yticks([0, max(b.n for b in bins)])
        counts.set_title("Number of decisions", fontsize=11.5)
        counts.set_xlabel("probability that the model stated")
        counts.grid(visible=False)
        _finish(figure, rows=1)
        return write_svg(figure)


def legend_rows(labels: Sequence[str]) -> int:
    """Return the lines of a legend: of two columns, or of one where the longest of each would not fit side by side.

    >>> legend_rows(["pgd", "fgsm", "untouched images"]), legend_rows(["success on images without the target"] * 3)
    (2, 3)
    """
    half = math.ceil(len(labels) / 2)
    widths = [max(map(len, column), default=0) for column in (labels[:half], labels[half:])]
    return half if sum(widths) <= BESIDE else len(labels)


def _finish(figure: Figure, *, rows: int) -> None:
    """Put the legend under the axes; the margins are fixed so that figures side by side line up."""
    labels = [str(label) for axes in figure.axes for label in axes.get_legend_handles_labels()[1]]
    used = legend_rows(labels)
    columns = math.ceil(len(labels) / max(used, 1))
    legend = figure.legend(loc="upper left", ncols=columns, fontsize=11.5, handlelength=2.2, columnspacing=1.2)
    top = 0.03 + 0.066 * max(rows, used)
    legend.set_bbox_to_anchor((0.0, top))
    figure.subplots_adjust(left=0.145, right=0.98, top=0.91, bottom=top + 0.15, hspace=0.5)


def _share_axis(axes: Axes, *, per_cent: bool) -> None:
    ticks = [0, 0.25, 0.5, 0.75, 1]
    axes.set_ylim(-0.03, 1.03)
    axes.set_yticks(ticks, [f"{100 * tick:g} %" if per_cent else f"{tick:g}" for tick in ticks])


def _line(axes: Axes, line: Series, at: Mapping[float, float]) -> None:
    marker, dash = STYLES[line.colour]
    across = [at[point.across] for point in line.points]
    colour = PALETTE[line.colour]
    if len(across) == 1:
        axes.vlines(across, line.points[0].low, line.points[0].high, color=colour, alpha=0.35, linewidth=3)
    axes.fill_between(
        across, [p.low for p in line.points], [p.high for p in line.points], color=colour, alpha=0.18, linewidth=0
    )
    axes.plot(
        across, [p.value for p in line.points], color=colour, marker=marker, markersize=6, linestyle=dash,
        linewidth=2, label=line.label, markeredgecolor=PALETTE["paper"], markeredgewidth=0.8,
    )  # fmt: skip
