"""Decisions against scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    multilabel_confusion_matrix,
    recall_score,
)

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import average, resample
from aseptic.metrics.decisions import (
    confusion,
    confusion_findings,
    measure_accuracy,
    measure_exact,
    measure_sensitivity,
    measure_specificity,
    one_hot,
)

seeds = st.integers(0, 10_000)


def sample(n):
    return resample(None, n, draws=100, rng=numpy_stream(0, "bootstrap"))


@settings(max_examples=25)
@given(seed=seeds)
def test_multiclass_agrees_with_scikit_learn(seed):
    rng = numpy_stream(seed)
    decisions, targets = rng.integers(4, size=50), np.concatenate([np.arange(4), rng.integers(4, size=46)])
    drawn = sample(50)
    assert measure_accuracy(decisions, targets, drawn).estimate.value == pytest.approx(
        accuracy_score(targets, decisions)
    )
    hot, true = one_hot(decisions, 4), one_hot(targets, 4)
    recalls = [measure_sensitivity(hot[:, k], true[:, k], drawn) for k in range(4)]
    np.testing.assert_allclose(
        [part.estimate.value for part in recalls], recall_score(targets, decisions, average=None)
    )
    balanced = average(recalls, drawn, 50).estimate.value
    assert balanced == pytest.approx(balanced_accuracy_score(targets, decisions))
    np.testing.assert_array_equal(confusion(decisions, targets, 4), confusion_matrix(targets, decisions))


@settings(max_examples=25)
@given(seed=seeds)
def test_findings_agree_with_scikit_learn(seed):
    rng = numpy_stream(seed)
    decisions, targets = ((rng.random((30, 3)) < 0.5).astype(float) for _ in range(2))
    targets[0], targets[1] = 1, 0
    oracle = multilabel_confusion_matrix(targets, decisions)
    np.testing.assert_array_equal(confusion_findings(decisions, targets), oracle)
    for k, ((tn, fp), (fn, tp)) in enumerate(oracle):
        found = measure_specificity(decisions[:, k], targets[:, k], sample(30)).estimate
        assert (found.value, found.n) == (pytest.approx(tn / (tn + fp)), tn + fp)
        found = measure_sensitivity(decisions[:, k], targets[:, k], sample(30)).estimate
        assert (found.value, found.n) == (pytest.approx(tp / (tp + fn)), tp + fn)
    exact = measure_exact(decisions, targets, sample(30)).estimate.value
    assert exact == pytest.approx(accuracy_score(targets, decisions))


def test_unknown_findings_neither_help_nor_hurt():
    decisions = np.array([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]])
    targets = np.array([[1.0, np.nan], [0.0, np.nan], [np.nan, np.nan]])
    found = measure_exact(decisions, targets, sample(3)).estimate
    assert (found.value, found.n) == (0.5, 2)
    np.testing.assert_array_equal(confusion_findings(decisions, targets)[0], [[0, 1], [0, 1]])
    assert confusion_findings(decisions, targets)[1].sum() == 0
    assert not measure_sensitivity(decisions[:, 1], targets[:, 1], sample(3)).estimate.known


def test_refuses_numbers_that_are_no_classes():
    with pytest.raises(InputError, match=r"class numbers must lie in 0\.\.2, got 0\.\.3"):
        one_hot(np.array([0, 3]), 3)
    assert one_hot(np.zeros(0, dtype=int), 3).shape == (0, 3)
