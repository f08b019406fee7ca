"""Calibration against scikit-learn, closed forms and simulation."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import brier_score_loss, log_loss

from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.calibration import (
    equal_mass,
    measure_brier,
    measure_brier_findings,
    measure_ece,
    measure_nll,
    measure_nll_findings,
    reliability,
    top_label,
)

seeds = st.integers(0, 10_000)


def sample(n, groups=None, draws=200):
    return resample(groups, n, draws=draws, rng=numpy_stream(0, "bootstrap"))


def forecasts(seed, n=200, *, honest=True):
    rng = numpy_stream(seed, "forecasts")
    truth = rng.random(n)
    outcome = (rng.random(n) < truth).astype(float)
    return (truth if honest else truth**0.3)[:, None], outcome[:, None]


@settings(max_examples=25)
@given(seed=seeds)
def test_multiclass_scores_agree_with_scikit_learn(seed):
    rng = numpy_stream(seed)
    scores, targets = rng.dirichlet(np.ones(3), size=40), rng.integers(3, size=40)
    brier = measure_brier(scores, targets, sample(40)).estimate
    oracle = brier_score_loss(targets, scores, labels=[0, 1, 2], scale_by_half=True)
    assert (brier.value, brier.n) == (pytest.approx(oracle), 40)
    nll = measure_nll(scores, targets, sample(40)).estimate
    assert nll.value == pytest.approx(log_loss(targets, scores, labels=[0, 1, 2]))
    assert brier.low < brier.value < brier.high
    assert nll.low < nll.value < nll.high


@settings(max_examples=25)
@given(seed=seeds)
def test_findings_pool_what_is_known(seed):
    rng = numpy_stream(seed)
    scores, targets = rng.uniform(0.01, 0.99, (30, 4)), (rng.random((30, 4)) < 0.5).astype(float)
    targets[rng.random((30, 4)) < 0.3] = np.nan
    targets[0], targets[1] = [0, 1, 0, 1], np.nan
    known = ~np.isnan(targets)
    brier = measure_brier_findings(scores, targets, sample(30)).estimate
    assert brier.value == pytest.approx(brier_score_loss(targets[known], scores[known]))
    assert brier.n == known.any(1).sum() < 30
    nll = measure_nll_findings(scores, targets, sample(30)).estimate.value
    assert nll == pytest.approx(log_loss(targets[known], scores[known]))


def test_a_probability_of_zero_costs_a_finite_amount():
    found = measure_nll(np.array([[0.0, 1.0], [0.0, 1.0]]), np.array([0, 1]), sample(2)).estimate
    assert found.value == pytest.approx(-np.log(1e-12) / 2)


@settings(max_examples=25)
@given(seed=seeds, n=st.integers(1, 100), bins=st.integers(1, 15))
def test_bins_hold_equally_many_unless_forecasts_are_tied(seed, n, bins):
    confidence = numpy_stream(seed).random(n)
    counts = np.bincount(equal_mass(confidence, bins), minlength=bins)
    assert len(counts) == bins
    assert counts.max() - counts.min() <= 1
    tied = confidence.round(1)
    number = equal_mass(tied, bins)
    assert all(len(set(number[tied == value])) == 1 for value in set(tied))
    assert (np.diff(number[np.argsort(tied)]) >= 0).all()


@settings(max_examples=25)
@given(seed=seeds)
def test_the_curve_and_the_error_agree_with_scikit_learn(seed):
    confidence, outcome = forecasts(seed)
    observed, mean_forecast = calibration_curve(outcome[:, 0], confidence[:, 0], n_bins=10, strategy="quantile")
    rows = reliability(confidence, outcome, sample(200))
    np.testing.assert_allclose([row.observed.value for row in rows], observed)
    np.testing.assert_allclose([row.confidence for row in rows], mean_forecast)
    assert all(row.observed.n == 20 and row.low <= row.confidence <= row.high for row in rows)
    error = measure_ece(confidence, outcome, sample(200)).estimate
    assert (error.value, error.n) == (pytest.approx(np.abs(observed - mean_forecast).mean()), 200)
    assert 0 <= error.low < error.high <= 1


def test_a_constant_forecast_by_hand():
    confidence, outcome = np.full((10, 1), 0.9), np.repeat([1.0, 0.0], 5)[:, None]
    assert measure_ece(confidence, outcome, sample(10)).estimate.value == pytest.approx(0.4)
    assert len(reliability(confidence, outcome, sample(10))) == 1


def test_overconfidence_lies_above_the_interval_of_honesty():
    honest, boasting = (measure_ece(*forecasts(0, 1000, honest=h), sample(1000)).estimate for h in (True, False))
    assert boasting.low > honest.high
    assert honest.low <= honest.value <= honest.high


def test_the_draws_are_centred_on_the_measured_error():
    found = measure_ece(*forecasts(5, 60), sample(60))
    assert found.draws.mean() == pytest.approx(found.estimate.value, rel=0.02)


def test_unknown_outcomes_do_not_count():
    confidence, outcome = forecasts(1, 100)
    padded = np.concatenate([outcome, np.full((9, 1), np.nan)])
    found = measure_ece(np.concatenate([confidence, np.full((9, 1), 0.5)]), padded, sample(109)).estimate
    assert (found.value, found.n) == (measure_ece(confidence, outcome, sample(100)).estimate.value, 100)
    nothing = np.full((3, 1), np.nan)
    assert not measure_ece(np.full((3, 1), 0.5), nothing, sample(3)).estimate.known
    assert reliability(np.full((3, 1), 0.5), nothing, sample(3)) == ()


def test_findings_of_one_image_are_pooled():
    confidence, outcome = forecasts(2, 120)
    pooled = measure_ece(confidence.reshape(40, 3), outcome.reshape(40, 3), sample(40)).estimate
    assert pooled.value == pytest.approx(measure_ece(confidence, outcome, sample(120)).estimate.value)
    assert pooled.n == 40


def test_no_interval_where_no_draw_differs():
    confidence, outcome = forecasts(3, 20)
    single = measure_ece(confidence, outcome, sample(20, ["p"] * 20)).estimate
    perfect = measure_ece(outcome, outcome, sample(20)).estimate
    assert single.known
    assert (single.bounded, perfect.bounded, perfect.value) == (False, False, 0)


def test_top_label_is_the_likeliest_class_and_whether_it_is_true():
    confidence, outcome = top_label(np.array([[0.2, 0.8], [0.7, 0.3]]), np.array([1, 1]))
    assert confidence.tolist() == [[0.8], [0.7]]
    assert outcome.tolist() == [[1], [0]]
