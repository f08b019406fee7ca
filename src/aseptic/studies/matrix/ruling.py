"""What one network of a matrix says about one defence: numbers from its raw rows, and whether it was bypassed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from pandas import DataFrame

from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import SHARE, difference, mean
from aseptic.metrics.ranking import measure_auroc, measure_tpr
from aseptic.scanners.calibration import Null
from aseptic.studies.backdoors.measures import SEED, Case, clean_numbers, infected_numbers, sample_rows
from aseptic.studies.frame.measuring import Computed
from aseptic.studies.infection.answers import TRIGGERED
from aseptic.studies.infection.measure import sample_of
from aseptic.studies.matrix.settings import CLEAN, Asked, Kind, Matrix
from aseptic.studies.scan.set_judging import stands_out

HALF = 0.5
"""Success from which a backdoor works; share of the triggered images that a detector must catch."""
RANKED = 0.75
"""AUROC that a scanner of training sets must reach, for the poisoned images to be found among the others."""
RULE = (
    "A backdoor works in a network that answers at least half of the triggered images as the attacker wants. There, it "
    "bypasses a cure that leaves at least half of them; a detector that catches less than half of the triggered images "
    "at its rate of false alarms; a scanner of training sets whose AUROC of poisoned images among all is below 0.75; "
    "and a scanner of models that does not call the network infected."
)
"""When a defence is bypassed, as a page says it."""
CHANGE = (-1.0, 1.0)
"""Bounds of a change of a share."""
DRAWS = 200
"""Resamples behind the interval of one network, which is shown only where all seeds agree."""


@dataclass(frozen=True, kw_only=True)
class Ruled:
    """What one network says about one defence."""

    numbers: Mapping[str, Estimate]
    """Name of a number to the number."""
    bypassed: bool | None
    """Whether the trigger gets past; None where that is undefined."""
    facts: Mapping[str, Any]
    """What else is worth keeping: the p-value, the named target."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """One infected network, and the raw rows and values of its cells."""

    spec: Matrix
    """The matrix."""
    data: ImageSet
    """The images; only their task and classes are looked at."""
    trigger: str
    """Name of the trigger."""
    seed: int
    """Seed of the network."""
    computed: Computed
    """The cells."""
    draws: int = DRAWS
    """Resamples behind an interval."""

    @property
    def case(self) -> Case:
        """What is asked of the network before any cure."""
        return Case(
            prefix=self.spec.name,
            cell=self.spec.cell("probe", self.trigger, self.seed),
            data=self.data,
            plan=self.spec.plan(self.trigger, self.seed),
        )

    def name(self, kind: str, one: Asked) -> str:
        """Return the name of the cell of a defence."""
        return self.spec.cell(kind, self.trigger, self.seed, one.label)

    def undefended(self) -> dict[str, Estimate]:
        """Return the success of the backdoor without any defence, and the main number on clean images."""
        case, rows = self.case, self.computed.rows(self.case.cell)
        sample = sample_of(rows, SEED, self.draws)
        success = infected_numbers(case, rows, sample)["success_other"]
        clean = clean_numbers(rows, case.yardstick, sample)[case.names[0]]
        return {"success_left": success.estimate, "clean": clean.estimate}

    def works(self) -> bool:
        """Return whether the backdoor does what it should, without which no defence can be said to be bypassed."""
        success = self.undefended()["success_left"]
        return success.known and success.value >= HALF

    def rule(self, one: Asked) -> Ruled:
        """Return what the network says about a defence."""
        return RULES[one.kind](self, one)


def cured(row: Row, one: Asked) -> Ruled:
    """Return what a cure leaves of the backdoor, and what it costs on the same clean images."""
    case, before = row.case, row.computed.rows(row.case.cell)
    after = row.computed.rows(row.name("cure", one))
    sample = sample_of(before, SEED, row.draws)
    success = infected_numbers(case, after, sample)["success_other"].estimate
    quality, was = (clean_numbers(rows, case.yardstick, sample)[case.names[0]] for rows in (after, before))
    return Ruled(
        numbers={"success_left": success, "clean_change": difference(quality, was, sample).estimate},
        bypassed=success.value >= HALF if success.known else None,
        facts={},
    )


def detected(row: Row, one: Asked) -> Ruled:
    """Return how well triggered images are told from the clean ones that they were made from."""
    rows = row.computed.rows(row.name("detect", one))
    found = ranked(rows, (rows["condition"] == TRIGGERED).to_numpy(dtype=float), row)
    tpr = found["tpr"]
    return Ruled(numbers=found, bypassed=tpr.value < HALF if tpr.known else None, facts={})


def inspected(row: Row, one: Asked) -> Ruled:
    """Return how well poisoned images are told from clean ones of the training set, and whether the set stands out.

    Covers, which carry something and keep their labels, count as neither.
    """
    name = row.name("inspect", one)
    rows, value = row.computed.rows(name), row.computed.value(name)
    roles = rows["role"].to_numpy()
    poisoned = np.where(roles == "poison", 1.0, np.where(roles == CLEAN, 0.0, np.nan))
    auroc, out = ranked(rows, poisoned, row)["auroc"], stands_out(value, row.spec.rate)
    return Ruled(
        numbers={"auroc": auroc, "stood_out": yes_or_no(answer=out)},
        bypassed=auroc.value < RANKED if auroc.known else None,
        facts={"statistic": value["statistic"], "null": list(value["null"])},
    )


def scanned(row: Row, one: Asked) -> Ruled:
    """Return whether a scanner calls the network infected, beside the clean ones, and names the attacker's target."""
    value, null = row.computed.value(row.name("scan", one)), clean_null(row.spec, one, row.computed)
    found, target = null.flags(value["statistic"], row.spec.rate), row.case.plan.label.target
    return Ruled(
        numbers={
            "found": yes_or_no(answer=found),
            "aim": NOT_MEASURED if target is None else yes_or_no(answer=value["target"] == target),
        },
        bypassed=not found,
        facts={
            "statistic": value["statistic"],
            "p_value": null.p_value(value["statistic"]),
            "target": value["target"],
        },
    )


RULES: Mapping[Kind, Callable[[Row, Asked], Ruled]] = {
    "scanners": scanned,
    "sets": inspected,
    "detectors": detected,
    "cures": cured,
}
"""Kind of defence to what is read from its cells."""


def clean_null(spec: Matrix, one: Asked, computed: Computed) -> Null:
    """Return the statistics of the clean networks of a matrix."""
    cells = {str(seed): spec.cell("scan", CLEAN, seed, one.label) for seed in spec.twin_seeds[: spec.twins]}
    values = {seed: computed.value(name) for seed, name in cells.items()}
    scanner = next(iter(values.values()))["scanner"]
    return Null(scanner=scanner, clean={seed: float(value["statistic"]) for seed, value in values.items()})


def ranked(rows: DataFrame, positive: np.ndarray, row: Row) -> dict[str, Estimate]:
    """Return AUROC and TPR of the scores; an image of which nothing can be said is the least suspicious."""
    scores = rows["score"].fillna(-np.inf).to_numpy(dtype=float)
    sample = sample_rows(rows, row.draws)
    return {
        "auroc": measure_auroc(scores, positive, sample).estimate,
        "tpr": measure_tpr(scores, positive, sample, row.spec.rate).estimate,
    }


def flagged(rows: DataFrame, draws: int = DRAWS) -> Estimate:
    """Return the share of the images that a detector flags."""
    return mean(rows["flagged"].to_numpy(dtype=float), sample_rows(rows, draws), SHARE).estimate


def yes_or_no(*, answer: bool) -> Estimate:
    """Return an answer as a number that has no interval of its own."""
    return Estimate(value=float(answer), low=np.nan, high=np.nan, n=1)
