"""Infection in numbers: against scikit-learn, and against what the definitions give by hand."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.infection import attack_success, decoy_success, excess, micro_auroc, separation


def sample(n, patients=None):
    return resample(patients, n, draws=200, rng=numpy_stream(0, "draws"))


def test_success_with_and_without_the_targets_own_images():
    reached = np.array([True, True, True, False])
    already = np.array([True, True, False, False])
    found = attack_success(reached, already, sample(4))
    assert found["success"].estimate.value == 0.75
    assert (found["success_other"].estimate.value, found["success_other"].estimate.n) == (0.5, 2)


def test_decoys_are_counted_as_triggers_are_and_compared_image_by_image():
    reached = np.array([True, True, True, False, True])
    fooled = np.array([True, True, False, False, False])
    already = np.array([True, False, False, False, False])
    found = {name: one.estimate for name, one in decoy_success(reached, fooled, already, sample(5)).items()}
    assert (found["decoy"].value, found["decoy"].n) == (2 / 5, 5)
    assert (found["decoy_other"].value, found["decoy_other"].n) == (1 / 4, 4)
    assert (found["over_decoy"].value, found["over_decoy"].n) == (2 / 4, 4)
    assert found["over_decoy"].low <= 0.5 <= found["over_decoy"].high
    same = decoy_success(reached, reached, already, sample(5))["over_decoy"].estimate
    assert same.value == 0


def test_a_clean_model_already_scores_a_third_of_a_balanced_set():
    """PROTOCOLS 2g-4: of 50/50/50 images, those of the target are counted as successes."""
    true = np.repeat([0, 1, 2], 50)
    found = attack_success(true == 2, true == 2, sample(150))
    assert found["success"].estimate.value == pytest.approx(1 / 3)
    assert found["success_other"].estimate.value == 0


def test_excess_is_zero_where_the_trigger_changes_nothing():
    rng = numpy_stream(1, "answers")
    answers, already = rng.random(50) < 0.3, rng.random(50) < 0.2
    found = excess(answers, answers, already, sample(50)).estimate
    assert (found.value, found.n) == (0, int((~already).sum()))
    assert found.low <= 0 <= found.high


@pytest.mark.parametrize("seed", range(5))
def test_micro_auroc_is_that_of_scikit_learn(seed):
    rng = numpy_stream(seed, "micro")
    scores = np.round(rng.random((40, 5)), 2)  # with ties
    targets = (rng.random((40, 5)) < 0.3).astype(float)
    found = micro_auroc(scores, targets, sample(40)).estimate
    assert found.value == pytest.approx(roc_auc_score(targets, scores, average="micro"))
    assert found.low <= found.value <= found.high


def test_micro_auroc_on_one_label_vector_only_compares_scores():
    """PROTOCOLS 1g-2: all labels the same; 1.0 means that the target's scores are above all others."""
    targets = np.tile([1.0, 0, 0], (20, 1))
    scores = np.column_stack([np.full(20, 0.3), np.full(20, 0.2), np.full(20, 0.29)])
    assert micro_auroc(scores, targets, sample(20)).estimate.value == 1
    assert np.isnan(micro_auroc(scores, np.zeros((20, 3)), sample(20)).estimate.value)


def test_unknown_targets_are_left_out():
    scores = np.array([[0.1, 0.9], [0.8, 0.5]])
    targets = np.array([[0.0, np.nan], [1.0, 0.0]])
    assert micro_auroc(scores, targets, sample(2)).estimate.value == 1


def test_patients_are_drawn_whole():
    rng = numpy_stream(2, "patients")
    scores, targets = rng.random((60, 3)), (rng.random((60, 3)) < 0.5).astype(float)
    twice = [f"p{i % 6}" for i in range(60)]
    wide, narrow = (micro_auroc(scores, targets, sample(60, who)).estimate for who in (twice, None))
    assert wide.value == narrow.value and (wide.low, wide.high) != (narrow.low, narrow.high)  # noqa: PT018


def test_separation_is_an_auroc():
    rng = numpy_stream(3, "scores")
    triggered, clean = np.round(rng.random(30), 1) + 0.2, np.round(rng.random(30), 1)
    triggered[:4] = np.nan
    found = separation(triggered, clean, sample(30)).estimate
    wanted = roc_auc_score([1] * 26 + [0] * 30, np.concatenate([triggered[4:], clean]))
    assert found.value == pytest.approx(wanted)
    assert separation(clean, clean, sample(30)).estimate.value == 0.5
