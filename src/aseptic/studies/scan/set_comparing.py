"""A training set among sets that are known to be clean: what can be said, and what that takes for granted."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.core.types import Number
from aseptic.scanners.calibration import Answer, Null
from aseptic.scanners.sets.nulls import widened
from aseptic.studies.scan import rates
from aseptic.studies.scan.judging import SEVERITY, VALUES, number

POISONED = "AML.T0020"
"""MITRE ATLAS: poison training data."""
COMPARED: Mapping[Answer, str] = {
    "infected": "This training set looks poisoned: it is more suspicious than clean sets of its kind.",
    "clean": "No sign of poison of the kinds that would have been found.",
    "cannot tell": "It cannot be told whether this training set is poisoned.",
}
"""Answer to the title of the verdict, where there are clean sets."""
KIND = (
    "This holds if the suspected set, without poison, were of the same kind as the clean ones: the same sources, "
    "scanners and years."
)
"""What a comparison with clean sets takes for granted."""
SEEN = (
    "The network has learned from the suspected set and not from the clean ones, which alone can set their features "
    "apart: this comparison decides nothing, and no power was measured."
)
"""Why scanners of features do not decide."""
LOOK = "Look at the images that are named."
"""What is asked of the reader."""


@dataclass(frozen=True, kw_only=True)
class Against:
    """A set among clean ones."""

    statistic: float
    """Of the set, or of as large a part of it as there are clean images for."""
    null: Null
    """Statistics of parts of clean sets, further apart where they overlap; and of poisoned ones."""
    answer: Answer
    """What can be said."""
    rate: Number
    """Share of clean sets that may be called infected."""
    sentences: tuple[str, ...]
    """The same in words."""
    apart: bool
    """Whether no two clean sets share images, without which the interval of the false alarms is not known."""
    notes: tuple[str, ...]
    """What it takes for granted; the same for every scanner."""

    @property
    def p_value(self) -> float:
        """Share of the sets, this one and the clean ones, that are at least as suspicious."""
        return self.null.p_value(self.statistic)


def compared_with(
    found: Mapping[str, Any], against: Mapping[str, Any], rate: Number, power: Number, *, decides: bool
) -> Against:
    """Return what a comparison with clean sets says.

    Args:
        found: What the scanner found in the set.
        against: What `aseptic.studies.scan.clean_sets.compare` returned.
        rate: Share of clean sets that may be called infected.
        power: Least share of poisoned parts that must be found before a set can be clean.
        decides: Whether clean sets and the suspected one were looked at alike.
    """
    null = Null(
        scanner=found["scanner"],
        clean={f"clean/{number}": one for number, one in enumerate(widened(against["clean"], against["overlap"]))},
        infected={
            kind: {f"{kind}/{number}": one for number, one in enumerate(group)}
            for kind, group in against["infected"].items()
        },
    )
    statistic, powers = against["statistic"], null.power(rate)
    flagged = null.flags(statistic, rate)
    able = [kind for kind, one in powers.items() if one.known and one.value >= power]
    answer: Answer = "infected" if decides and flagged else "clean" if decides and able else "cannot tell"
    said = [_among(against, null), *(_powers(null, powers, answer) if decides else [SEEN])]
    return Against(
        statistic=statistic,
        null=null,
        answer=answer,
        rate=rate,
        sentences=tuple(said),
        apart=not against["overlap"],
        notes=_granted(against),
    )


def _granted(against: Mapping[str, Any]) -> tuple[str, ...]:
    """Return what a comparison takes for granted, in sentences."""
    said = []
    if against["overlap"]:
        said.append(
            f"The clean sets are overlapping parts of fewer ones, each up to {100 * against['overlap']:.3g} % of one; "
            "their statistics were spread by as much as that makes them too alike, which is exact for means only, and "
            "the interval of the power is too narrow."
        )
    if against["share"] < 1:
        said.append(
            f"There are clean images to compare {100 * against['share']:.3g} % of the set with, drawn at random."
        )
    return (*said, KIND)


def _among(against: Mapping[str, Any], null: Null) -> str:
    above = sum(one >= against["statistic"] for one in null.clean.values())
    return (
        f"{above} of {len(null.clean)} clean sets come up to its statistic of {against['statistic']:.3g} "
        f"(p = {null.p_value(against['statistic']):.3g})."
    )


def _powers(null: Null, powers: Mapping[str, Estimate], answer: Answer) -> list[str]:
    told = [
        f"Of {one.n} clean sets that were poisoned with {kind}, {round(one.value * one.n)} are found "
        f"({100 * one.value:.3g} %, 95 % interval {100 * one.low:.3g} to {100 * one.high:.3g} %)."
        for kind, one in powers.items()
    ]
    if not null.infected and answer != "infected":
        told.append("How much poison would have been found was not measured (--trigger or --plan).")
    return told


def clean_verdict(against: Mapping[str, Against], rate: float) -> Finding:
    """Return the finding that stands first on the page, where there are clean sets."""
    answer = rates.together(one.answer for one in against.values())
    said = [f"{name}: {one.answer}. {' '.join(one.sentences)}" for name, one in against.items()]
    lines = [*said, *next(iter(against.values())).notes, *([] if answer == "clean" else [LOOK])]
    return finding(
        "verdict",
        COMPARED[answer],
        method="scan with " + ", ".join(against),
        metric="answer",
        args={
            "answer": answer,
            "rate": rate,
            "compared": len(against),
            "rule": rates.RULE,
            "text": lines,
        },
        severity=SEVERITY[answer],
        threat=POISONED,
    ).model_copy(update={"value": VALUES.get(answer)})


def groups(against: Against) -> dict[str, Any]:
    """Return the statistics that a set was compared with."""
    null = against.null
    infected = {kind: sorted(group.values()) for kind, group in null.infected.items()}
    return {"among": "clean sets", "clean": sorted(null.clean.values()), "infected": infected}


def errors(name: str, against: Against) -> Iterator[Finding]:
    """Yield how often a comparison with clean sets errs, either way."""
    method, about, null = f"scanner {name}", {"scanner": name}, against.null
    errs = null.false_positives(against.rate)
    yield finding(
        f"scan.{name}.false_positives",
        f"Clean sets that {name} calls infected, with these clean sets",
        method=method,
        metric="false_positives",
        estimate=errs if against.apart or not errs.known else number(errs.value, errs.n),
        args=about,
    )
    for kind, power in null.power(against.rate).items():
        title, args = f"Sets poisoned with {kind} that {name} finds", {**about, "backdoor": kind}
        yield finding(f"scan.{name}.power:{kind}", title, method=method, metric="power", estimate=power, args=args)
