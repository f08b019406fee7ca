"""AUROC and a point of the ROC curve against scikit-learn, with ties, weights and unknown targets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_auc_score, roc_curve

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics import ranking
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.intervals import wilson
from aseptic.metrics.ranking import auroc, auroc_draws, auroc_estimate, auroc_macro, measure_tpr, tpr_at_fpr

seeds = st.integers(0, 10_000)


def case(seed, n=40, levels=12):
    """Scores with many ties, and both classes."""
    rng = numpy_stream(seed, "case")
    positive = np.concatenate([[0.0, 1.0], (rng.random(n - 2) < 0.4).astype(float)])
    return rng.integers(levels, size=n) / levels, positive, rng.integers(0, 4, size=n).astype(float)


@settings(max_examples=25)
@given(seed=seeds, levels=st.integers(1, 50))
def test_agrees_with_scikit_learn(seed, levels):
    scores, positive, weights = case(seed, levels=levels)
    weights[:2] = 1
    assert auroc(scores, positive) == pytest.approx(roc_auc_score(positive, scores))
    oracle = roc_auc_score(positive, scores, sample_weight=weights)
    assert auroc(scores, positive, weights) == pytest.approx(oracle)


@settings(max_examples=25)
@given(seed=seeds)
def test_turning_scores_or_classes_around_turns_the_area_around(seed):
    scores, positive, weights = case(seed)
    area = auroc(scores, positive, weights)
    np.testing.assert_allclose(auroc(-scores, positive, weights), 1 - area)
    np.testing.assert_allclose(auroc(scores, 1 - positive, weights), 1 - area)
    np.testing.assert_allclose(auroc(np.exp(3 * scores), positive, weights), area)


@settings(max_examples=25)
@given(seed=seeds)
def test_a_weight_of_two_is_the_image_twice(seed):
    scores, positive, weights = case(seed)
    rows = np.repeat(np.arange(len(scores)), weights.astype(int))
    np.testing.assert_allclose(auroc(scores, positive, weights), auroc(scores[rows], positive[rows]))


@settings(max_examples=25)
@given(seed=seeds)
def test_all_draws_at_once_are_one_draw_at_a_time(seed):
    scores, positive, _ = case(seed)
    positive[5:9] = np.nan
    weights = resample(None, 40, draws=30, rng=numpy_stream(seed)).weights
    one_by_one = [auroc(scores, positive, row.astype(float)) for row in weights]
    np.testing.assert_allclose(auroc_draws(scores, positive, weights), one_by_one)


def test_working_in_blocks_changes_nothing(monkeypatch):
    scores, positive, _ = case(0)
    weights = resample(None, 40, draws=50, rng=numpy_stream(0)).weights
    whole = auroc_draws(scores, positive, weights)
    monkeypatch.setattr(ranking, "CELLS", 3 * 40)
    np.testing.assert_array_equal(auroc_draws(scores, positive, weights), whole)


def test_unknown_targets_do_not_count():
    scores, positive, _ = case(1)
    unknown = np.concatenate([positive, np.full(7, np.nan)])
    padded = np.concatenate([scores, np.full(7, np.nan)])
    assert auroc(padded, unknown) == auroc(scores, positive)
    assert auroc_estimate(padded, unknown, resample(None, 47, rng=numpy_stream(0))).n == 40


@pytest.mark.parametrize("positive", [[1.0, 1.0], [0.0, 0.0], [np.nan, 1.0], [np.nan, np.nan]])
def test_one_class_is_not_measured(positive):
    found = auroc_estimate(np.array([0.2, 0.4]), np.array(positive), resample(None, 2, rng=numpy_stream(0)))
    assert (found.known, found.n) == (False, 0)


def test_the_bootstrap_interval_is_that_of_resampled_rows():
    scores, positive, _ = case(2, n=60)
    drawn = resample(None, 60, draws=200, rng=numpy_stream(0))
    areas = []
    for weights in drawn.weights.astype(int):
        rows = np.repeat(np.arange(60), weights)
        areas.append(roc_auc_score(positive[rows], scores[rows]))
    found = auroc_estimate(scores, positive, drawn)
    np.testing.assert_allclose([found.low, found.high], np.percentile(areas, [2.5, 97.5]))
    assert found.low < found.value < found.high


def test_perfect_separation_has_an_interval_that_counts_patients():
    positive = np.repeat([0.0, 1.0], 20)
    alone = auroc_estimate(positive, positive, resample(None, 40, rng=numpy_stream(0)))
    grouped = auroc_estimate(positive, positive, resample([str(k // 5) for k in range(40)], 40, rng=numpy_stream(0)))
    assert alone.value == grouped.value == alone.high == 1
    assert grouped.low < alone.low < 1
    single = auroc_estimate(
        np.array([0.1, 0.3, 0.2]), np.array([0.0, 1.0, 1.0]), resample(["p"] * 3, 3, rng=numpy_stream(0))
    )
    assert single.value == 1


def test_one_patient_gives_no_interval():
    scores, positive, _ = case(3)
    found = auroc_estimate(scores, positive, resample(["p"] * 40, 40, rng=numpy_stream(0)))
    assert found.known
    assert not found.bounded


def test_macro_agrees_with_scikit_learn_and_leaves_out_what_is_undefined():
    rng = numpy_stream(0)
    scores = rng.dirichlet(np.ones(3), size=60)
    classes = rng.integers(3, size=60)
    hot = (classes[:, None] == np.arange(3)).astype(float)
    oracle = roc_auc_score(classes, scores, multi_class="ovr", average="macro")
    assert auroc_macro(scores, hot) == pytest.approx(oracle)
    padded = np.concatenate([hot, np.full((60, 1), np.nan)], 1)
    assert auroc_macro(np.concatenate([scores, scores[:, :1]], 1), padded) == pytest.approx(oracle)
    assert np.isnan(auroc_macro(scores, np.zeros((60, 3))))


def test_refuses_scores_that_are_not_numbers():
    with pytest.raises(InputError, match="scores must be numbers, got 1 NaN"):
        auroc(np.array([np.nan, 1.0]), np.array([0.0, 1.0]))


@settings(max_examples=25)
@given(seed=seeds, levels=st.integers(1, 50), limit=st.sampled_from([0.0, 0.05, 0.29, 0.5, 1.0]))
def test_the_share_caught_is_that_of_the_curve_of_scikit_learn(seed, levels, limit):
    scores, positive, weights = case(seed, n=100, levels=levels)
    weights[:2] = 1
    for given_weights in (None, weights):
        false, true, _ = roc_curve(positive, scores, sample_weight=given_weights, drop_intermediate=False)
        assert tpr_at_fpr(scores, positive, limit, given_weights) == pytest.approx(true[false <= limit + 1e-12].max())


@settings(max_examples=25)
@given(seed=seeds)
def test_more_false_alarms_catch_no_less_and_all_of_them_everything(seed):
    scores, positive, _ = case(seed)
    caught = [tpr_at_fpr(scores, positive, limit) for limit in (0, 0.05, 0.2, 0.6, 1)]
    assert caught == sorted(caught)
    assert caught[-1] == 1
    assert tpr_at_fpr(np.exp(3 * scores), positive) == caught[1]


def test_a_share_that_is_a_rounding_below_a_count_allows_that_count():
    scores, positive = np.arange(101.0), np.concatenate([np.zeros(71), [1.0], np.zeros(29)])
    assert tpr_at_fpr(scores, positive, 0.29) == 1
    assert tpr_at_fpr(scores, positive, 0.28) == 0


def test_the_interval_of_the_share_caught_is_that_of_resampled_rows():
    scores, positive, _ = case(2, n=60)
    scores = scores + positive / 2
    drawn = resample(None, 60, draws=200, rng=numpy_stream(0))
    shares = []
    for weights in drawn.weights.astype(int):
        rows = np.repeat(np.arange(60), weights)
        shares.append(tpr_at_fpr(scores[rows], positive[rows], 0.2))
    found = measure_tpr(scores, positive, drawn, 0.2).estimate
    np.testing.assert_allclose([found.low, found.high], np.percentile(shares, [2.5, 97.5]))
    assert 0 < found.low < found.value < found.high


def test_nothing_and_everything_caught_have_intervals_that_count_patients():
    positive = np.repeat([0.0, 1.0], 20)
    all_caught = measure_tpr(positive, positive, resample(None, 40, rng=numpy_stream(0))).estimate
    assert (all_caught.value, all_caught.low, all_caught.high) == (1, *wilson(1.0, 20))
    none = measure_tpr(-positive, positive, resample(["a"] * 30 + ["b"] * 10, 40, rng=numpy_stream(0))).estimate
    assert (none.value, none.low, none.high) == (0, *wilson(0.0, 2))
    assert not measure_tpr(positive, np.ones(40), resample(None, 40, rng=numpy_stream(0))).estimate.known
    lone = measure_tpr(np.arange(3.0), np.array([1.0, 0.0, 1.0]), resample(["p"] * 3, 3, rng=numpy_stream(0))).estimate
    assert (lone.value, lone.bounded) == (0.5, False)


def test_refuses_a_share_of_false_alarms_that_is_none():
    with pytest.raises(InputError, match=r"limit must lie in \[0, 1\], got 5"):
        tpr_at_fpr(np.array([0.2, 0.4]), np.array([0.0, 1.0]), 5)
