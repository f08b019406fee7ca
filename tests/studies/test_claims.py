"""Claims are judged on whole intervals: every interval against every bound, and every reason."""

import itertools
import math

import pytest

from aseptic.core.errors import ContractError
from aseptic.core.estimate import Estimate
from aseptic.core.record import finding
from aseptic.studies.frame.claims import Claim, Criterion, above, at_least, at_most, below, greater_than, within
from aseptic.studies.frame.judging import decide, judge
from aseptic.studies.frame.traps import Trap

INTERVALS = [(float(low), float(high)) for low, high in itertools.product(range(6), repeat=2) if low <= high]
HALVES = [half / 2 for half in range(-14, 15)]
"""Every point at which the answer could change, and one between any two of them."""


def number(name, low, high, **more):
    args = {"method": "counting", "metric": "auroc", **more}
    return finding(name, name, estimate=Estimate(value=(low + high) / 2, low=low, high=high, n=9), **args)


def claim(criterion, *names, **more):
    return Claim(id="one", words="So it is", where="abstract", findings=names or ("a",), criterion=criterion, **more)


def oracle(interval, allowed):
    """Try every point of the interval."""
    answers = {allowed(point) for point in HALVES if interval[0] <= point <= interval[1]}
    return "held" if answers == {True} else "not held" if answers == {False} else "not testable"


@pytest.mark.parametrize(
    ("criterion", "allowed"),
    [
        (at_least(3.0), lambda x: x >= 3),
        (at_most(3.0), lambda x: x <= 3),
        (above(3.0), lambda x: x > 3),
        (below(3.0), lambda x: x < 3),
        (within(1.0, of=3.0), lambda x: 2 <= x <= 4),
        (within(0.0, of=3.0), lambda x: x == 3),
        (Criterion(low=2.0, high=4.0, strict=True), lambda x: 2 < x < 4),
    ],
)
def test_a_number_is_judged_by_every_point_of_its_interval(criterion, allowed):
    for low, high in INTERVALS:
        found = judge(claim(criterion), {"a": number("a", low, high)}, {}, "desk")
        assert found.verdict == oracle((low, high), allowed), (low, high)


@pytest.mark.parametrize(
    ("criterion", "allowed"),
    [
        (greater_than("b"), lambda x: x > 0),
        (within(1.0, of="b"), lambda x: abs(x) <= 1),
    ],
)
def test_a_comparison_is_judged_by_every_pair_of_points(criterion, allowed):
    for (low, high), (other_low, other_high) in itertools.product(INTERVALS, repeat=2):
        findings = {"a": number("a", low, high), "b": number("b", other_low, other_high)}
        found = judge(claim(criterion), findings, {}, "desk")
        assert found.verdict == oracle((low - other_high, high - other_low), allowed)


@pytest.mark.parametrize("verdicts", list(itertools.product(("held", "not held", "not testable"), repeat=3)))
def test_several_findings_must_all_meet_the_criterion(verdicts):
    spans = {"held": (0.9, 1.0), "not held": (0.1, 0.2), "not testable": (0.4, 0.6)}
    names = ("a", "b", "c")
    findings = {name: number(name, *spans[one]) for name, one in zip(names, verdicts, strict=True)}
    found = judge(claim(at_least(0.5), *names), findings, {}, "desk")
    expected = next((one for one in ("not held", "not testable") if one in verdicts), "held")
    assert found.verdict == expected
    told = [part.split(":")[0] for part in found.reason.split("; ")]
    assert told == [name for name, one in zip(names, verdicts, strict=True) if one == expected]


@pytest.mark.parametrize(
    ("interval", "criterion", "unit", "reason"),
    [
        ((0.97, 1.0), at_least(0.95), "", "the interval [0.97, 1] lies at or above 0.95"),
        ((0.97, 1.0), above(0.95), "", "the interval [0.97, 1] lies above 0.95"),
        ((0.1, 0.2), at_least(0.95), "%", "the interval [10, 20] % lies below 95 %"),
        ((0.1, 0.2), above(0.2), "%", "the interval [10, 20] % lies at or below 20 %"),
        ((0.1, 0.2), at_most(0.2), "", "the interval [0.1, 0.2] lies at or below 0.2"),
        ((0.1, 0.2), below(0.05), "", "the interval [0.1, 0.2] lies at or above 0.05"),
        ((0.1, 0.2), at_most(0.05), "", "the interval [0.1, 0.2] lies above 0.05"),
        ((0.84, 0.86), within(0.02, of=0.85), "", "the interval [0.84, 0.86] lies between 0.83 and 0.87"),
        ((0.8, 0.85), within(0.02, of=0.85), "", "the interval [0.8, 0.85] contains the bound 0.83"),
        ((0.8, 0.9), within(0.02, of=0.85), "", "the interval [0.8, 0.9] contains the bounds 0.83 and 0.87"),
        ((0.1, 0.2), greater_than("b"), "points", "the difference to b, in [10, 20] points lies above 0 points"),
        ((0.949996, 1.0), at_least(0.95), "", "the interval [0.949996, 1] contains the bound 0.95"),
    ],
)
def test_reasons_name_the_interval_and_the_bound(interval, criterion, unit, reason):
    assert decide(interval, criterion, unit).reason == reason


def test_shares_are_judged_in_per_cent_and_their_differences_in_points():
    findings = {name: number(name, low, 1.0, metric="accuracy") for name, low in (("a", 0.9), ("b", 0.5))}
    assert judge(claim(at_least(0.8)), findings, {}, "desk").reason == "the interval [90, 100] % lies at or above 80 %"
    told = judge(claim(greater_than("b")), findings, {}, "desk").reason
    assert told == "the difference to b, in [-10, 50] points contains the bound 0 points"


def test_what_could_not_be_measured_decides_nothing():
    unknown = finding("a", "a", method="m", metric="auroc")
    pointed = unknown.model_copy(update={"value": 0.9})
    wanted = claim(at_least(0.5))
    for findings, absent, reason in (
        ({}, {}, "a is not known: it was not measured in this run"),
        ({}, {"a": "it needs train, which was failed: no"}, "a is not known: it needs train, which was failed: no"),
        ({"a": unknown}, {}, "a could not be measured on this data"),
        ({"a": pointed}, {}, "a has no interval"),
    ):
        found = judge(wanted, findings, absent, "desk")
        assert (found.verdict, found.reason) == ("not testable", reason)
    found = judge(claim(greater_than("b")), {"a": number("a", 0.0, 1.0)}, {"b": "gone"}, "desk")
    assert (found.verdict, found.reason) == ("not testable", "b is not known: gone")


def test_a_scale_that_cannot_decide_does_not():
    wanted = claim(at_least(0.5), untestable={"smoke": "phantoms say nothing of AUROC on patients"})
    findings = {"a": number("a", 0.9, 1.0)}
    found = judge(wanted, findings, {}, "smoke")
    assert (found.verdict, found.reason) == ("not testable", "phantoms say nothing of AUROC on patients")
    assert judge(wanted, findings, {}, "paper").verdict == "held"


@pytest.mark.parametrize(
    ("criterion", "words"),
    [
        (at_least(0.8), "at least 0.8"),
        (at_most(0.8), "at most 0.8"),
        (above(0.0), "more than 0"),
        (below(0.8), "less than 0.8"),
        (within(0.05, of=0.85), "from 0.8 to 0.9"),
        (within(0.05, of="asr.b"), "within 0.05 of asr.b"),
        (greater_than("asr.b"), "greater than asr.b"),
    ],
)
def test_criteria_say_what_they_want(criterion, words):
    assert criterion.describe() == words


def test_claims_name_what_they_look_at():
    assert claim(greater_than("b"), "a", "c").needs() == ("a", "c", "b")
    assert claim(at_least(0.5)).needs() == ("a",)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"id": "Two words"}, r"the id of a claim must be of small letters, digits, - and _, got 'Two words'"),
        ({"findings": ()}, r"claim one must name at least one finding that decides it, got none"),
        ({"published": 0.85}, r"claim one has a published number, so `where` must hold a tag .*, got 'abstract'"),
        ({"published": 0.85, "where": "table 2 [MEM]"}, r"must hold a tag .*, got 'table 2 \[MEM\]'"),
    ],
)
def test_a_claim_that_could_not_be_shown_is_refused(change, message):
    good = {"id": "one", "words": "So", "where": "abstract", "findings": ("a",), "criterion": at_least(0.5)}
    assert Claim(**good).published is None
    with pytest.raises(ContractError, match=message):
        Claim(**(good | change))


@pytest.mark.parametrize("tag", ["[PAPER abstract]", "[CODE repo:file.py]", "[COUNTED labels/]"])
def test_a_published_number_needs_a_tag_that_says_where_it_was_seen(tag):
    assert claim(at_least(0.5)).published is None
    told = Claim(
        id="a", words="b", where=f"abstract {tag}", published=math.pi, findings=("a",), criterion=at_least(0.5)
    )
    assert told.published == math.pi


@pytest.mark.parametrize("half", [{"released": "a"}, {"corrected": "a"}, {"released": "a", "done": "so"}, {}])
def test_half_a_trap_is_refused(half):
    with pytest.raises(ContractError, match=r"trap 1g-1 must name a finding as released and one corrected, or say"):
        Trap(number="1g-1", words="A trap", **half)
