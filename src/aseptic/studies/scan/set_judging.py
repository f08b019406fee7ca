"""From what scanners found in a training set to findings and one verdict."""

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Any

from aseptic.core.record import Finding, Severity, finding
from aseptic.scanners.calibration import Answer
from aseptic.studies.scan.judging import SEVERITY, number
from aseptic.studies.scan.set_comparing import POISONED, Against, clean_verdict, errors, groups

ANSWER: Answer = "cannot tell"
"""What permuted labels can say at most: honest classes from several sources stand out, too."""
TITLES: Mapping[bool, str] = {
    True: "A class of this training set stands out; whether it is poisoned, only clean sets of its kind could tell.",
    False: "It cannot be told whether this training set is poisoned.",
}
"""Whether anything stands out, to the title of the verdict."""
RULE = (
    "A class stands out if any scanner says so at its share of the error rate. It is never called infected, because "
    "honest classes can stand out, nor clean, because it is not known how much poison would have been found."
)
VARIED = (
    "Labels dealt anew say what chance would do to classes that are alike; classes whose clean images are varied in "
    "other ways, or come from several sources, can look poisoned. Look at the images."
)


def p_value(statistic: float, null: Sequence[float]) -> float:
    """Return ``(1 + #{permuted sets with a statistic of at least this}) / (n + 1)``.

    >>> p_value(2.0, [1.0, 2.0, 3.0])
    0.75
    """
    return (1 + sum(one >= statistic for one in null)) / (len(null) + 1)


def stands_out(found: Mapping[str, Any], rate: float) -> bool:
    """Return whether permuted sets come up to the statistic at most at this rate."""
    above = 1 + sum(one >= found["statistic"] for one in found["null"])
    return bool(above <= Fraction(str(rate)) * (len(found["null"]) + 1))


def set_verdict(
    found: Mapping[str, Mapping[str, Any]],
    rate: float,
    each: float,
    compared: int,
    against: Mapping[str, Against] | None = None,
) -> Finding:
    """Return the finding that stands first on the page.

    Args:
        found: Name of a scanner to what it found.
        rate: Share of sets with permuted labels that all scanners together may call suspicious.
        each: Share that each of them may.
        compared: Scanners that share the rate.
        against: Name of a scanner to its comparison with clean sets, where there are some.
    """
    if against:
        return clean_verdict(against, rate)
    out = {name: stands_out(one, each) for name, one in found.items()}
    said = [f"{name}: {'' if out[name] else 'nothing '}stands out. {_sentence(one)}" for name, one in found.items()]
    if compared > 1:
        said.append(
            f"{compared} scanners were compared with permuted labels, and each may call {100 * rate / compared:.3g} % "
            f"of sets with permuted labels suspicious, so that together they call at most {100 * rate:.3g} %."
        )
    return finding(
        "verdict",
        TITLES[any(out.values())],
        method="scan with " + ", ".join(found),
        metric="answer",
        args={"answer": ANSWER, "rate": rate, "compared": compared, "rule": RULE, "text": [*said, VARIED]},
        severity="medium" if any(out.values()) else SEVERITY[ANSWER],
        threat=POISONED,
    )


def set_findings(name: str, found: Mapping[str, Any], rate: float, against: Against | None = None) -> Iterator[Finding]:
    """Yield what one scanner found: its answer, each label, and the most suspicious images."""
    method, null, out = f"scanner {name}", found["null"], stands_out(found, rate)
    about = {"scanner": name}
    sentences, answer = [_sentence(found)], ANSWER
    severity: Severity = "medium" if out else SEVERITY[ANSWER]
    p_permuted = p_value(found["statistic"], null)
    among = p_permuted, len(null)
    if against is not None:
        sentences = [*against.sentences, *against.notes, *sentences]
        answer, severity = against.answer, SEVERITY[against.answer]
        among = against.p_value, len(against.null.clean)
    yield finding(
        f"scan.{name}.p_value",
        sentences[0],
        method=method,
        metric="p_value",
        estimate=number(*among),
        args={
            **about,
            "answer": answer,
            "stands_out": out,
            "p_permuted": p_permuted,
            "target": _target(found)["name"],
            "rate": rate if against is None else against.rate,
            "sentences": sentences,
            "settings": found["scanner"],
            "not_looked_at": found["not_looked_at"],
            "suspicious": found["suspicious"],
        },
        severity=severity,
        threat=POISONED,
        artefacts=[one["picture"] for one in found["suspicious"]],
    )
    yield finding(
        f"scan.{name}.statistic",
        f"Statistic of {name}, higher is more suspicious",
        method=method,
        metric="statistic",
        estimate=number(found["statistic"], sum(one["images"] for one in found["groups"])),
        args={**about, "among": "permuted labels", "clean": sorted(null), "infected": {}}
        if against is None
        else {**about, "compared": against.statistic, **groups(against)},
    )
    if against is not None:
        yield from errors(name, against)
    for group in found["groups"]:
        yield finding(
            f"scan.{name}.score:{group['name']}",
            f"Statistic of {group['name']}, higher is more suspicious",
            method=method,
            metric="score",
            estimate=number(group["statistic"], group["images"]),
            args={**about, "output": group["name"], "p_value": p_value(group["statistic"], null), **group["details"]},
        )
    yield finding(
        f"scan.{name}.seconds",
        f"Time that {name} took for the set",
        method=method,
        metric="seconds",
        estimate=number(found["seconds"], 1),
        args=about,
        unit="s",
    ).model_copy(update={"n": None})


def _sentence(found: Mapping[str, Any]) -> str:
    null, target = found["null"], _target(found)
    above = sum(one >= found["statistic"] for one in null)
    return (
        f"The most suspicious label is {target['name']!r} with a statistic of {found['statistic']:.3g}; "
        f"{above} of {len(null)} sets with permuted labels come up to it "
        f"(p = {p_value(found['statistic'], null):.3g})."
    )


def _target(found: Mapping[str, Any]) -> Mapping[str, Any]:
    groups: Sequence[Mapping[str, Any]] = found["groups"]
    return max(groups, key=lambda one: float(one["statistic"]))
