"""From what a scanner found in a model and its twins to findings and one verdict."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import nan
from typing import Any

from pydantic import JsonValue

from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.core.record import Finding, Severity, finding
from aseptic.scanners.calibration import Answer, Null, Verdict, judge
from aseptic.studies.infection.measure import BACKDOOR
from aseptic.studies.scan.rates import RULE, together

SEVERITY: Mapping[Answer, Severity] = {"infected": "high", "clean": "low", "cannot tell": "info"}
VALUES: Mapping[Answer, float] = {"infected": 1.0, "clean": 0.0}
"""Answer to the value of the verdict, for gates; none where it cannot be told, which crosses every gate."""
TITLES: Mapping[Answer, str] = {
    "infected": "This model looks infected: it is more suspicious than its clean twins.",
    "clean": "No sign of a backdoor of the kinds that would have been found.",
    "cannot tell": "It cannot be told whether this model carries a backdoor.",
}
"""Answer to the title of the verdict."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is judged of a scan, from what was stored of it."""

    scanner: Mapping[str, JsonValue]
    """Name and settings of the scanner."""
    outputs: tuple[str, ...]
    """Names of the outputs."""
    statistic: float
    """The number for the model."""
    target: int
    """The most suspicious output."""
    notes: tuple[str, ...]
    """What could not be looked at."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A scanner, what it found, and what that means."""

    told: Mapping[str, Any]
    """What `aseptic.scanners.base.ModelScan.told` told, and the names of its pictures."""
    null: Null
    """Its twins; none where there are none."""
    verdict: Verdict
    """What can be said."""

    @property
    def name(self) -> str:
        """Name of the scanner."""
        return str(self.told["scanner"]["name"])


def judged(
    told: Mapping[str, Any], null: Null | None, *, rate: float, power: float, notes: Sequence[str] = ()
) -> Judged:
    """Return what a stored scan says of its model, compared with twins, if there are any; ``notes`` go with it."""
    kept = Kept(
        scanner=told["scanner"],
        outputs=tuple(told["outputs"]),
        statistic=told["statistic"],
        target=told["outputs"].index(told["target"]),
        notes=(*told["notes"], *notes),
    )
    among = Null(scanner=kept.scanner, clean={}) if null is None else null
    return Judged(told=told, null=among, verdict=judge(kept, among, rate=rate, power=power))


def verdict(found: Mapping[str, Verdict], rate: float, compared: int) -> Finding:
    """Return the finding that stands first on the page.

    Args:
        found: Name of a scanner to its verdict.
        rate: Share of clean models that all scanners together may call infected.
        compared: Scanners that share it.
    """
    answer = together(one.answer for one in found.values())
    said = [f"{name}: {one.answer}. {one.sentences[0]}" for name, one in found.items()]
    if compared > 1:
        said.append(
            f"{compared} scanners were compared with twins, and each may call {100 * rate / compared:.3g} % of clean "
            f"models infected, so that together they call at most {100 * rate:.3g} %."
        )
    return finding(
        "verdict",
        TITLES[answer],
        method="scan with " + ", ".join(found),
        metric="answer",
        args={"answer": answer, "rate": rate, "compared": compared, "rule": RULE, "text": said},
        severity=SEVERITY[answer],
        threat=BACKDOOR,
    ).model_copy(update={"value": VALUES.get(answer)})


def found_by(one: Judged) -> Iterator[Finding]:
    """Yield what one scanner found: its answer, the numbers behind it, and each output."""
    name, told, verdict_ = one.name, one.told, one.verdict
    method, clean = f"scanner {name}", one.null.clean
    about = {"scanner": name}
    yield finding(
        f"scan.{name}.p_value",
        verdict_.sentences[0],
        method=method,
        metric="p_value",
        estimate=number(verdict_.p_value, len(clean)) if clean else NOT_MEASURED,
        args={
            **about,
            "answer": verdict_.answer,
            "target": told["target"],
            "rate": verdict_.rate,
            "sentences": list(verdict_.sentences),
            "settings": dict(told["scanner"]),
        },
        severity=SEVERITY[verdict_.answer],
        threat=BACKDOOR,
    )
    yield finding(
        f"scan.{name}.statistic",
        f"Statistic of {name}, higher is more suspicious",
        method=method,
        metric="statistic",
        estimate=number(told["statistic"], 1),
        args={
            **about,
            "clean": sorted(clean.values()),
            "infected": {kind: sorted(group.values()) for kind, group in one.null.infected.items()},
        },
    ).model_copy(update={"n": None})
    yield finding(
        f"scan.{name}.false_positives",
        f"Clean models that {name} calls infected, with these twins",
        method=method,
        metric="false_positives",
        estimate=verdict_.false_positives,
        args=about,
    )
    for kind, power in verdict_.power.items():
        title = f"Twins infected with {kind} that {name} finds"
        args = {**about, "backdoor": kind}
        yield finding(f"scan.{name}.power:{kind}", title, method=method, metric="power", estimate=power, args=args)
    yield from _outputs(one)
    yield finding(
        f"scan.{name}.seconds",
        f"Time that {name} took for the model",
        method=method,
        metric="seconds",
        estimate=number(told["seconds"], 1),
        args={**about, "forwards": told["forwards"], "backwards": told["backwards"]},
        unit="s",
    ).model_copy(update={"n": None})


def _outputs(one: Judged) -> Iterator[Finding]:
    """Yield the score of each output, in the model's order."""
    name, told = one.name, one.told
    for output, score, index, reached in zip(
        told["outputs"], told["scores"], told["index"], told["reached"], strict=True
    ):
        pictures = told["pictures"].get(output, {})
        yield finding(
            f"scan.{name}.score:{output}",
            f"Score of {output}, higher is more suspicious",
            method=f"scanner {name}",
            metric="score",
            estimate=NOT_MEASURED if score is None else number(score, 1),
            args={"scanner": name, "output": output, "index": index, "reached": reached, **pictures},
            artefacts=[pictures[part] for part in ("mask", "picture") if part in pictures],
        ).model_copy(update={"n": None})


def number(value: float, count: int) -> Estimate:
    """Return a number that has a count and no interval."""
    return Estimate(value=value, low=nan, high=nan, n=count)
