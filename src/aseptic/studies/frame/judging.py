"""Judges claims on whole intervals: pure functions of findings."""

import math
from collections.abc import Mapping

from aseptic.core.record import Finding
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
    if not criterion.other:
        return decide(ends[0], criterion, "the interval")
    (low, high), (other_low, other_high) = ends
    return decide((low - other_high, high - other_low), criterion, f"the difference to {criterion.other}, in")


def decide(interval: tuple[float, float], criterion: Criterion, subject: str) -> Judged:
    """Return whether all of the interval is allowed, none of it, or a part.

    >>> decide((0.97, 1.0), Criterion(low=0.95, words=""), "the interval")
    Judged(verdict='held', reason='the interval [0.97, 1] lies at or above 0.95')
    >>> decide((0.9, 1.0), Criterion(low=0.95, words=""), "the interval")
    Judged(verdict='not testable', reason='the interval [0.9, 1] contains the bound 0.95')
    """
    low, high = interval
    span = f"{subject} [{low:.4g}, {high:.4g}]"
    enough = low > criterion.low if criterion.strict else low >= criterion.low
    within = high < criterion.high if criterion.strict else high <= criterion.high
    if enough and within:
        return Judged(verdict="held", reason=f"{span} lies {_allowed(criterion)}")
    if high <= criterion.low if criterion.strict else high < criterion.low:
        return Judged(verdict="not held", reason=f"{span} lies {_beyond('below', criterion.low, criterion)}")
    if low >= criterion.high if criterion.strict else low > criterion.high:
        return Judged(verdict="not held", reason=f"{span} lies {_beyond('above', criterion.high, criterion)}")
    crossed = [*([] if enough else [criterion.low]), *([] if within else [criterion.high])]
    bounds = " and ".join(f"{bound:.4g}" for bound in crossed)
    return Judged(verdict="not testable", reason=f"{span} contains the bound{'s' * (len(crossed) - 1)} {bounds}")


def _allowed(criterion: Criterion) -> str:
    """Return where the interval lies when the criterion is met."""
    touching = "" if criterion.strict else "at or "
    if math.isinf(criterion.high):
        return f"{touching}above {criterion.low:.4g}"
    if math.isinf(criterion.low):
        return f"{touching}below {criterion.high:.4g}"
    return f"within [{criterion.low:.4g}, {criterion.high:.4g}]"


def _beyond(side: str, bound: float, criterion: Criterion) -> str:
    return f"{'at or ' if criterion.strict else ''}{side} {bound:.4g}"
