"""What the page computes and writes itself: bins, places on the axis, words, sections."""

import math

import fake_run
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.estimate import Estimate
from aseptic.core.record import finding
from aseptic.report import words
from aseptic.report.calibration import reliability
from aseptic.report.charts import place
from aseptic.report.headline import verdict
from aseptic.report.keys import OTHER, by_section, entry
from aseptic.report.method import LIMITS, limits, threat
from aseptic.report.svg import PALETTE, inline_svg
from aseptic.report.wording import Wording


def named(name, **more):
    return finding(name, "a title", method="m", metric="accuracy", **more)


def row(scores, targets):
    return dict(zip(("score:a", "score:b", "target:a", "target:b"), (*scores, *targets), strict=True))


A, B = (1.0, 0.0), (0.0, 1.0)


def test_reliability_of_known_rows():
    rows = [row((0.85, 0.15), A)] * 8 + [row((0.85, 0.15), B)] * 2 + [row((0.0, 1.0), B)]
    first, second = reliability(rows, "multiclass", ("a", "b"))
    assert (first.n, first.observed, second.n, second.observed) == (10, 0.8, 1, 1.0)
    assert first.stated == pytest.approx(0.85)
    # Wilson interval of 8 in 10, from the literature (Brown, Cai and DasGupta, 2001)
    assert (first.low, first.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)


def test_reliability_of_findings_leaves_out_what_is_not_known():
    rows = [row((0.25, 0.75), (1.0, None)), row((0.25, 0.75), (0.0, math.nan))]
    (only,) = reliability(rows, "multilabel", ("a", "b"))
    assert (only.n, only.observed, only.stated) == (2, 0.5, 0.25)


def test_reliability_of_findings_takes_each_for_itself():
    bins = reliability([row((0.25, 0.75), A)], "multilabel", ("a", "b"))
    assert [(b.stated, b.observed) for b in bins] == [(0.25, 1), (0.75, 0)]


@pytest.mark.parametrize("scores", [(2.0, -1.0), (None, 0.5)])
def test_no_diagram_without_probabilities(scores):
    assert reliability([row(scores, A)], "multiclass", ("a", "b")) == []


@given(st.lists(st.tuples(st.integers(0, 1), st.floats(0, 1)), max_size=40))
def test_bins_hold_every_row_once_and_contain_their_value(pairs):
    rows = [row((score, 1 - score), (A, B)[target]) for target, score in pairs]
    bins = reliability(rows, "multiclass", ("a", "b"))
    assert sum(b.n for b in bins) == len(rows)
    assert all(0 <= b.low <= b.observed <= b.high <= 1 for b in bins)


@given(st.lists(st.floats(0.01, 100), min_size=2, unique=True))
def test_axis_keeps_the_order_and_starts_with_zero(sizes):
    sizes = sorted([0.0, *sizes])
    places = [place(size, sizes) for size in sizes]
    assert places[:2] == [0, 1]
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("name", "section", "parts"),
    [
        ("verdict", "verdict", ("", "accuracy", 0)),
        ("preflight.scale", "preflight", ("scale", "accuracy", 0)),
        ("clean.auroc:a.b@2:c", "clean", ("a.b@2:c", "auroc", 0)),
        ("curve.pgd.success@0.25", "curve", ("pgd", "success", 0.25)),
        ("noise.accuracy_drop@8", "noise", ("", "accuracy_drop", 8)),
        ("damage.a@b\nc@2", "damage", ("a@b\nc", "accuracy", 2)),
        ("storage.8bit@2.5", "storage", ("8bit", "accuracy", 2.5)),
        ("drift.gradcam.rank_correlation@2", "drift", ("gradcam", "rank_correlation", 2)),
        ("cost.pgd", "cost", ("pgd", "accuracy", 0)),
        ("curve.pgd.success", OTHER, ("", "accuracy", 0)),
        ("verdicts", OTHER, ("", "accuracy", 0)),
    ],
)
def test_sections_by_name(name, section, parts):
    found = entry(named(name))
    assert (found.section, (found.name, found.metric, found.grey)) == (section, parts)


@given(st.lists(st.text()))
def test_every_finding_has_exactly_one_section(names):
    sections = by_section([named(name) for name in names])
    assert sorted(e.finding.id for entries in sections.values() for e in entries) == sorted(names)


def test_interval_in_words():
    full = named("x", estimate=Estimate(value=0.5, low=0.25, high=0.75, n=12345))
    assert (words.interval(full), words.count(full)) == ("25.0 to 75.0 %", "n = 12\u202f345")
    assert words.interval(named("x", estimate=Estimate(value=0.5, low=math.nan, high=math.nan, n=1))) == "no interval"
    assert (words.interval(named("x")), words.count(named("x"))) == ("", "")


@pytest.mark.parametrize(
    ("value", "metric", "text"),
    [
        (-0.0067, "accuracy_drop", "\u22120.7 points"),
        (-0.0001, "accuracy_drop", "0.0 points"),
        (1.0, "auroc", "1.000"),
        (-0.25, "rank_correlation", "\u22120.250"),
        (-1e-6, "rank_correlation", ">\u22120.001"),
        (0.0, "ece", "0.000"),
        (123.4, "nll", "123"),
    ],
)
def test_numbers_in_words(value, metric, text):
    assert words.amount(value, metric) == text


def test_worst_severity_wins():
    results = fake_run.record([named("verdict", severity="low"), named("verdict", severity="high")], "ab", "multiclass")
    assert verdict(results, by_section(results.findings)).severity == "high"


def test_inline_svg_takes_the_theme_and_its_own_names():
    drawn = (
        f'<svg xmlns="x" viewBox="0 0 1 1"><use id="a" xlink:href="#m" clip-path="url(#p)" fill="{PALETTE["ink"]}"/>'
    )
    assert inline_svg(drawn, "n") == (
        '<svg viewBox="0 0 1 1" aria-hidden="true"><use id="n-a" href="#n-m" clip-path="url(#n-p)" fill="var(--ink)"/>'
    )


def test_limits_name_what_is_particular_to_the_run():
    results = fake_run.record([], "ab", "multiclass")
    assert limits(results) == list(LIMITS)
    few = results.model_copy(update={"data": {"n_used": 12}})
    assert [line.split(",")[0] for line in limits(few)[len(LIMITS) :]] == [
        "Only 12 images were used: the intervals are wide",
        "Patients are not identified in the data",
    ]


def test_threat_model_says_what_was_run_and_nothing_else():
    attacked = named("curve.pgd.accuracy@2", args={"norm": "l2", "goal": "reach:b", "steps": 3, "attack": "pgd"})
    said = threat(by_section([attacked]), Wording())
    assert any("the Euclidean length of the whole change stays within the budget" in line for line in said)
    assert "What the attacker wants: the decision b." in said
    assert "How: PGD (steps 3)." in said
    assert not any(line.startswith(("The control", "The worst case")) for line in said)
    assert threat(by_section([]), Wording()) == []
