"""A statistic among those that it is compared with."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
from matplotlib.figure import Figure

from aseptic.report.charts import STYLES
from aseptic.report.svg import PALETTE, SETTINGS, write_svg

COLOURS = ("clean", "attack1", "attack2", "attack3", "noise")
"""Colours of the groups; the clean ones come first."""
LANES = 5
"""Heights that the points of a group take in turn, so that equal ones are seen."""
SPREAD = 0.12
"""Distance of two heights."""


def strip(statistic: float, groups: Mapping[str, Sequence[float]], *, whose: str) -> str:
    """Return the chart as SVG: a row of points for each group, and a line where the statistic is.

    Args:
        statistic: Of what was scanned.
        groups: Name of a group to its statistics.
        whose: Name of the line.
    """
    with mpl.rc_context(SETTINGS):
        figure = Figure(figsize=(7.2, 1.3 + 0.75 * len(groups)))
        axes = figure.add_subplot()
        for row, (name, values) in enumerate(groups.items()):
            colour = COLOURS[row % len(COLOURS)]
            heights = [-row + SPREAD * (number % LANES - LANES // 2) for number in range(len(values))]
            axes.plot(values, heights, linestyle="", marker=STYLES[colour][0], color=PALETTE[colour], label=name)
        axes.axvline(statistic, color=PALETTE["ink"], linewidth=2)
        axes.annotate(
            whose, (statistic, 1), xycoords=("data", "axes fraction"), xytext=(0, 4), textcoords="offset points",
            ha="center", va="bottom", fontweight="bold", color=PALETTE["ink"],
        )  # fmt: skip
        axes.set_yticks([-row for row in range(len(groups))], list(groups))
        axes.set_ylim(0.6 - len(groups), 0.6)
        axes.set_xlabel("statistic, more suspicious to the right")
        axes.grid(visible=False, axis="y")
        figure.subplots_adjust(left=0.26, right=0.94, top=1 - 0.35 / (1.3 + 0.75 * len(groups)), bottom=0.27)
        return write_svg(figure)
