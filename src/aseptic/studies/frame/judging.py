"""Judges claims on whole intervals: pure functions of findings."""

import math
from collections.abc import Callable, Iterable, Mapping

from aseptic.core.record import Finding
from aseptic.report.words import POINTS, SHARES
from aseptic.studies.frame.claims import Claim, Criterion, Judged
from aseptic.studies.frame.scales import Scale

NOT_GIVEN = "it was not measured in this run"
"""Reason for a finding that is not there, where nothing else is known."""


def judge(claim: Claim, findings: Mapping[str, Finding], absent: Mapping[str, str], scale: Scale) -> Judged:
    """Judge a claim on the findings that it names.

    It is held when every finding meets the criterion with its whole interval, not held when one misses it with its
    whole interval, and otherwise not testable on this data.

    Args:
        claim: The claim.
        findings: What was measured, by id.
        absent: Id of what could not be measured, to the reason.
        scale: Scale of the run.
    """
    if reason := claim.untestable.get(scale):
        return Judged(verdict="not testable", reason=reason)
    told = [_judge_one(name, claim.criterion, findings, absent) for name in claim.findings]
    failed = [one for one in told if one.verdict == "not held"]
    open_ = [one for one in told if one.verdict == "not testable"]
    decisive = failed or open_ or told
    if len(told) == 1:
        return told[0]
    names = [name for name, one in zip(claim.findings, told, strict=True) if one in decisive]
    said = dict.fromkeys(f"{name}: {one.reason}" for name, one in zip(names, decisive, strict=True))
    return Judged(verdict=decisive[0].verdict, reason="; ".join(said))


def _judge_one(name: str, criterion: Criterion, findings: Mapping[str, Finding], absent: Mapping[str, str]) -> Judged:
    ends: list[tuple[float, float]] = []
    for one in (name, *([criterion.other] if criterion.other else [])):
        found = findings.get(one)
        if found is None:
            return Judged(verdict="not testable", reason=f"{one} is not known: {absent.get(one, NOT_GIVEN)}")
        if found.value is None:
            return Judged(verdict="not testable", reason=f"{one} could not be measured on this data")
        if found.ci_low is None or found.ci_high is None:
            return Judged(verdict="not testable", reason=f"{one} has no interval")
        ends.append((found.ci_low, found.ci_high))
    unit = unit_of(findings[name], difference=bool(criterion.other))
    if not criterion.other:
        return decide(ends[0], criterion, unit)
    (low, high), (other_low, other_high) = ends
    return decide((low - other_high, high - other_low), criterion, unit)


def decide(interval: tuple[float, float], criterion: Criterion, unit: str = "") -> Judged:
    """Return whether all of the interval is allowed, none of it, or a part.

    >>> decide((0.97, 1.0), Criterion(low=0.95))
    Judged(verdict='held', reason='the interval [0.97, 1] lies at or above 0.95')
    >>> decide((0.9, 1.0), Criterion(low=0.95), "%")
    Judged(verdict='not testable', reason='the interval [90, 100] % contains the bound 95 %')
    """
    low, high = interval
    say = writer([low, high, criterion.low, criterion.high], unit)
    subject = f"the difference to {criterion.other}, in" if criterion.other else "the interval"
    span = f"{subject} [{say(low).removesuffix(f' {unit}')}, {say(high).removesuffix(f' {unit}')}] {unit}".rstrip()
    enough = low > criterion.low if criterion.strict else low >= criterion.low
    within = high < criterion.high if criterion.strict else high <= criterion.high
    if enough and within:
        return Judged(verdict="held", reason=f"{span} lies {_allowed(criterion, say)}")
    touching = "at or " if criterion.strict else ""
    if high <= criterion.low if criterion.strict else high < criterion.low:
        return Judged(verdict="not held", reason=f"{span} lies {touching}below {say(criterion.low)}")
    if low >= criterion.high if criterion.strict else low > criterion.high:
        return Judged(verdict="not held", reason=f"{span} lies {touching}above {say(criterion.high)}")
    crossed = [*([] if enough else [criterion.low]), *([] if within else [criterion.high])]
    bounds = " and ".join(map(say, crossed))
    return Judged(verdict="not testable", reason=f"{span} contains the bound{'s' * (len(crossed) - 1)} {bounds}")


def _allowed(criterion: Criterion, say: Callable[[float], str]) -> str:
    """Return where the interval lies when the criterion is met."""
    touching = "" if criterion.strict else "at or "
    if math.isinf(criterion.high):
        return f"{touching}above {say(criterion.low)}"
    if math.isinf(criterion.low):
        return f"{touching}below {say(criterion.high)}"
    return f"between {say(criterion.low)} and {say(criterion.high)}"


def unit_of(found: Finding, *, difference: bool = False) -> str:
    """Return the unit in which a number, or a difference of such numbers, is written."""
    if found.metric in SHARES and not found.unit:
        return "points" if difference or found.metric in POINTS else "%"
    return found.unit


def writer(numbers: Iterable[float], unit: str) -> Callable[[float], str]:
    """Return what writes numbers in a unit, with as many digits as keep apart those that differ.

    >>> writer([0.5, 0.825581], "%")(0.825581), writer([0.99996, 1.0], "")(0.99996)
    ('82.6 %', '0.99996')
    """
    factor = 100 if unit in {"%", "points"} else 1
    finite = {factor * number for number in numbers if math.isfinite(number)}
    digits = next((n for n in range(3, 15) if len({f"{number:.{n}g}" for number in finite}) == len(finite)), 15)
    return lambda number: f"{factor * number:.{digits}g} {unit}".rstrip()
