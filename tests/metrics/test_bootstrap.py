"""The bootstrap by patient: its laws, its intervals in the corners, and their coverage."""

import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import SHARE, average, difference, differences, mean, ratio, resample
from aseptic.metrics.intervals import wilson
from aseptic.metrics.ranking import measure_auroc

seeds = st.integers(0, 10_000)


def sample(groups, n, seed=0, draws=200):
    return resample(groups, n, draws=draws, rng=numpy_stream(seed, "bootstrap"))


def ends(measured):
    return measured.estimate.low, measured.estimate.high


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(1, 40))
def test_every_draw_takes_as_many_patients_as_there_are(seed, n):
    names = [str(number) for number in numpy_stream(seed).integers(5, size=n)]
    found = sample(names, n, seed)
    firsts = [names.index(name) for name in dict.fromkeys(names)]
    np.testing.assert_array_equal(found.weights[:, firsts].sum(1), len(firsts))
    for name in set(names):
        members = found.weights[:, [row for row in range(n) if names[row] == name]]
        assert (members == members[:, :1]).all(), "the images of a patient are drawn together"


@settings(max_examples=25)
@given(seed=seeds)
def test_clusters_of_one_are_the_plain_bootstrap(seed):
    alone = sample([f"p{row}" for row in range(9)], 9, seed)
    np.testing.assert_array_equal(alone.weights, sample(None, 9, seed).weights)
    np.testing.assert_array_equal(alone.weights, sample([None] * 9, 9, seed).weights)


def test_an_image_without_a_patient_is_its_own():
    found = sample(["a", None, "a", None, "0"], 5)
    assert found.patients(np.ones(5, dtype=bool)) == 4
    assert not np.array_equal(found.weights[:, 1], found.weights[:, 4]), "no name can stand for an unknown patient"


@settings(max_examples=25)
@given(seed=seeds, value=st.floats(-5, 5), n=st.integers(2, 30))
def test_the_mean_of_a_constant_is_the_constant_in_every_draw(seed, value, n):
    found = mean(np.full(n, value), sample(None, n, seed))
    assert (found.draws == value).all()
    assert (found.estimate.value, *ends(found)) == (value, value, value)


@settings(max_examples=25)
@given(seed=seeds)
def test_the_draws_are_the_weighted_means(seed):
    rng = numpy_stream(seed, "values")
    values, drawn = rng.normal(size=30), sample([str(k // 3) for k in range(30)], 30, seed)
    values[rng.random(30) < 0.2] = np.nan
    found = mean(values, drawn)
    known = ~np.isnan(values)
    for draw, weights in zip(found.draws[:20], drawn.weights, strict=False):
        assert draw == pytest.approx(np.average(values[known], weights=weights[known]))
    assert found.estimate.value == pytest.approx(np.nanmean(values))
    assert found.estimate.n == known.sum()


def test_the_same_stream_gives_the_same_interval():
    values = numpy_stream(0).normal(size=50)
    assert ends(mean(values, sample(None, 50, 3))) == ends(mean(values, sample(None, 50, 3)))
    assert ends(mean(values, sample(None, 50, 3))) != ends(mean(values, sample(None, 50, 4)))


def test_repeated_images_of_a_patient_do_not_narrow_the_interval():
    once = numpy_stream(1).normal(size=40)
    names = [str(row) for row in range(40)]
    low, high = ends(mean(once, sample(names, 40)))
    tenfold = mean(np.repeat(once, 10), sample([name for name in names for _ in range(10)], 400))
    np.testing.assert_allclose(ends(tenfold), (low, high), atol=1e-6)
    assert tenfold.estimate.n == 400


def test_nothing_known_is_not_measured():
    drawn = sample(None, 3)
    for found in (mean(np.full(3, np.nan), drawn), average([], drawn, 3), ratio(np.ones(3), np.zeros(3), drawn)):
        assert not found.estimate.known
        assert found.estimate.n == 0
        assert np.isnan(found.draws).all()
    assert not mean(np.zeros(0), sample(None, 0)).estimate.known


def test_a_share_of_0_or_1_gets_the_interval_of_wilson_over_patients():
    names = [str(row // 2) for row in range(20)]
    np.testing.assert_allclose(ends(mean(np.ones(20), sample(names, 20), SHARE)), wilson(1.0, 10))
    np.testing.assert_allclose(ends(mean(np.zeros(20), sample(names, 20), SHARE)), wilson(0.0, 10))
    np.testing.assert_allclose(ends(mean(np.ones(1), sample(None, 1), SHARE)), wilson(1.0, 1))


def test_one_patient_gives_no_interval():
    found = mean(np.array([0.2, 0.4]), sample(["p", "p"], 2))
    assert found.estimate.value == pytest.approx(0.3)
    assert not found.estimate.bounded
    assert not mean(np.array([0.2]), sample(None, 1)).estimate.bounded


def test_a_statistic_that_many_draws_leave_undefined_has_no_interval():
    values = np.full(50, np.nan)
    values[:2] = 0, 1
    found = mean(values, sample(None, 50, draws=1000), SHARE)
    assert found.estimate.value == 0.5
    assert not found.estimate.bounded
    values[:5] = 0, 1, 1, 0, 1
    assert mean(values, sample(None, 50, draws=1000), SHARE).estimate.bounded


def test_the_interval_covers_the_truth_as_often_as_it_says():
    hits, rounds = {"image": 0, "patient": 0}, 300
    for seed in range(rounds):
        rng = numpy_stream(seed, "coverage")
        patient = rng.normal(size=40).repeat(5)
        values = (patient + rng.normal(size=200) > 0).astype(float)
        names = [str(row // 5) for row in range(200)]
        for kind, groups in (("image", None), ("patient", names)):
            low, high = ends(mean(values, sample(groups, 200, seed), SHARE))
            hits[kind] += low <= 0.5 <= high
    assert 0.91 <= hits["patient"] / rounds <= 0.98
    assert hits["image"] / rounds < 0.85, "counting images as patients would be too sure of itself"


@settings(max_examples=25)
@given(seed=seeds)
def test_a_difference_is_taken_pairwise(seed):
    rng = numpy_stream(seed, "pairs")
    drawn, first, second = sample(None, 40, seed), rng.random(40), rng.random(40)
    found = difference(mean(second, drawn), mean(first, drawn), drawn)
    assert found.estimate.value == pytest.approx(second.mean() - first.mean())
    np.testing.assert_allclose(found.draws, mean(second, drawn).draws - mean(first, drawn).draws, atol=1e-9)
    back = difference(mean(first, drawn), mean(second, drawn), drawn)
    np.testing.assert_allclose(ends(back), [-end for end in reversed(ends(found))], atol=1e-9)


def test_a_condition_that_changes_no_decision_has_a_narrow_difference():
    drawn, right = sample(None, 100), (np.arange(100) < 90).astype(float)
    same = difference(mean(right, drawn, SHARE), mean(right, drawn, SHARE), drawn)
    share = wilson(0.0, 100)[1]
    np.testing.assert_allclose([same.estimate.value, *ends(same)], [0, -share, share])
    fallen = difference(mean(np.zeros(100), drawn, SHARE), mean(np.ones(100), drawn, SHARE), drawn)
    np.testing.assert_allclose([fallen.estimate.value, *ends(fallen)], [-1, -1, -1 + 2 * share])


def test_differences_of_everything_that_both_have():
    drawn = sample(None, 30)
    scores, truth = numpy_stream(0).random(30), (np.arange(30) % 2).astype(float)
    first = {"auroc": measure_auroc(scores, truth, drawn), "only here": mean(scores, drawn)}
    second = {"auroc": measure_auroc(-scores, truth, drawn)}
    found = differences(second, first, drawn)
    assert set(found) == {"auroc"}
    assert found["auroc"].value == pytest.approx(1 - 2 * first["auroc"].estimate.value)
    assert found["auroc"].low < found["auroc"].value < found["auroc"].high
    missing = difference(first["auroc"], mean(np.full(30, np.nan), drawn), drawn)
    assert not missing.estimate.known


def test_a_difference_between_two_perfect_corners_still_has_a_width():
    drawn, truth = sample(None, 40), (np.arange(40) % 2).astype(float)
    best, worst = measure_auroc(truth, truth, drawn), measure_auroc(-truth, truth, drawn)
    found = difference(worst, best, drawn)
    assert found.estimate.value == -1
    down, up = best.estimate.low - 1, worst.estimate.high
    np.testing.assert_allclose(ends(found), [-1, -1 + math.hypot(down, up)])


def test_an_average_leaves_out_what_was_not_measured():
    drawn = sample(None, 20)
    parts = [mean(np.arange(20.0), drawn), mean(np.full(20, np.nan), drawn), mean(np.ones(20), drawn)]
    found = average(parts, drawn, 20)
    assert found.estimate.value == pytest.approx((9.5 + 1) / 2)
    np.testing.assert_allclose(found.draws, (parts[0].draws + 1) / 2)
    assert found.estimate.n == 20


def test_refuses_what_does_not_fit():
    with pytest.raises(InputError, match="patients must be given for each of 3 images, got 2"):
        sample(["a", "b"], 3)
    with pytest.raises(InputError, match="draws must be 1 or more, got 0"):
        sample(None, 3, draws=0)
    with pytest.raises(InputError, match="values must be finite or NaN, got 1 infinite ones"):
        mean(np.array([1.0, np.inf]), sample(None, 2))


def test_is_fast_enough_for_every_finding_and_condition():
    rng = numpy_stream(0)
    drawn = sample(None, 300, draws=1000)
    scores, truth = rng.random((300, 14)), (rng.random((300, 14)) < 0.2).astype(float)
    start = time.process_time()
    for k in range(14):
        measure_auroc(scores[:, k], truth[:, k], drawn)
    assert time.process_time() - start < 2, "a ninth of the work of an audit; about 0.1 s on one core of 2020"
