"""The table of a matrix: triggers down, defences across."""

from collections.abc import Mapping

from aseptic.report.study.card import Column, Grid, GridRow, Square
from aseptic.studies.matrix.measures import METRICS
from aseptic.studies.matrix.ruling import HALF, RANKED
from aseptic.studies.matrix.settings import BYPASSED, CLEAN, NONE, Asked, Kind, Matrix

GROUPS: Mapping[Kind, str] = {
    "scanners": "Scanners of models: found, %",
    "sets": "Scanners of sets: AUROC",
    "detectors": "Detectors: caught, %",
    "cures": "Cures: success left, %",
}
"""Kind of defence to the heading of its columns, which says what is shown."""


def matrix_grid(spec: Matrix, title: str = "Triggers and defences") -> Grid:
    """Return the table of a matrix, for `aseptic.studies.frame.study.Study.grids`; the last row is of clean networks.

    Args:
        spec: What `aseptic.studies.matrix.measures.matrix_measures` was given.
        title: Heading.
    """
    asked = [*spec.defences()]
    alone = Square(finding="", limit=None)
    rows = [
        GridRow(
            label=trigger,
            squares=(
                alone.model_copy(update={"finding": spec.finding(trigger, NONE, "success_left")}),
                *(_square(spec, trigger, one) for one in asked),
            ),
        )
        for trigger in spec.triggers
    ]
    alarms = [
        Square(finding=spec.finding(CLEAN, one.label, "false_positive_rate")) if one.kind != "cures" else None
        for one in asked
    ]
    if any(alarms):
        rows.append(GridRow(label="false alarms", squares=(None, *alarms)))
    return Grid(
        name=spec.name,
        title=title,
        columns=(
            Column(label="success, %", group="No defence"),
            *(Column(label=one.label, group=GROUPS[one.kind]) for one in asked),
        ),
        rows=tuple(rows),
        good="stopped",
        bad="bypassed",
        caption=_caption(spec),
    )


def _square(spec: Matrix, trigger: str, one: Asked) -> Square:
    """Return what a trigger and a defence come to; nothing is stopped or bypassed where no backdoor works."""
    return Square(
        finding=spec.finding(trigger, one.label, next(iter(METRICS[one.kind]))),
        limit=RANKED if one.kind == "sets" else HALF,
        bad="above" if one.kind == "cures" else "below",
        needs=spec.finding(trigger, one.label, BYPASSED),
    )


def _caption(spec: Matrix) -> str:
    half, rate = f"{HALF:.0%}".replace("%", " %"), f"{100 * spec.rate:g} %"
    return (
        f"{len(spec.seeds)} networks of each trigger, each from a seed of its own; intervals are over them. Success: "
        f"triggered images, none of the target, that are answered as the attacker wants; limit {half}. Found: networks "
        f"that {rate} of clean ones would come up to, of {spec.twins}; limit {half}. AUROC: of poisoned images among "
        f"all of the training set; limit {RANKED:g}. Caught: triggered test images where {rate} of the clean ones are "
        f"flagged; limit {half}. False alarms: clean networks, training sets and images that are called suspicious. "
        "A row has no marks where the backdoor works in none of its networks."
    )
