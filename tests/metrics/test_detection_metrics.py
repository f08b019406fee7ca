"""Average precision against pycocotools on random cases, by hand on small ones, and its laws."""

import contextlib
import io
import math

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import difference, resample
from aseptic.metrics.detection import (
    IOUS,
    average_precision,
    free_response_recall,
    match,
    mean_average_precision,
    overlap,
    summarise_detections,
)


def case(seed, images=12, outputs=3):
    """Return detections that are often near an object, with ties in the scores, and the objects."""
    rng = numpy_stream(seed, "detection")
    found, truth = [], []
    for _ in range(images):
        count = int(rng.integers(0, 7))
        corner, sides = rng.uniform(0, 60, (count, 2)), rng.uniform(4, 30, (count, 2))
        labels = rng.integers(0, outputs, count)
        objects = np.column_stack([labels, corner, corner + sides]).reshape(count, 5)
        truth.append(objects)
        near = objects[rng.random(count) < 0.85]
        near = np.concatenate([near, near[rng.random(len(near)) < 0.3]])
        moved = near[:, 1:] + rng.normal(0, 2.5, (len(near), 4))
        named = np.where(rng.random(len(near)) < 0.85, near[:, 0], rng.integers(0, outputs, len(near)))
        extra = int(rng.integers(0, 4))
        corner, sides = rng.uniform(0, 60, (extra, 2)), rng.uniform(4, 30, (extra, 2))
        rows = np.concatenate(
            [
                np.column_stack([named, moved]).reshape(-1, 5),
                np.column_stack([rng.integers(0, outputs, extra), corner, corner + sides]).reshape(-1, 5),
            ]
        )
        rows[:, 3:] = np.maximum(rows[:, 3:], rows[:, 1:3] + 0.5)
        found.append(np.column_stack([rows, rng.integers(1, 12, len(rows)) / 12]).reshape(-1, 6))
    return found, truth


def coco(found, truth, outputs=3):
    """Return the precision that COCO's own evaluation gives, ``[overlap, class]``."""

    def wide(row):
        return [float(row[1]), float(row[2]), float(row[3] - row[1]), float(row[4] - row[2])]

    with contextlib.redirect_stdout(io.StringIO()):
        one = COCO()
        one.dataset = {
            "images": [{"id": i} for i in range(len(truth))],
            "categories": [{"id": k} for k in range(outputs)],
            "annotations": [
                {
                    "id": 1 + number, "image_id": i, "category_id": int(row[0]), "bbox": wide(row),
                    "area": float((row[3] - row[1]) * (row[4] - row[2])), "iscrowd": 0,
                }
                for number, (i, row) in enumerate((i, row) for i, rows in enumerate(truth) for row in rows)
            ],
        }  # fmt: skip
        one.createIndex()
        other = one.loadRes(
            [
                {"image_id": i, "category_id": int(row[0]), "bbox": wide(row), "score": float(row[5])}
                for i, rows in enumerate(found)
                for row in rows
            ]
        )
        run = COCOeval(one, other, "bbox")
        run.evaluate()
        run.accumulate()
    precision = run.eval["precision"][:, :, :, 0, -1]  # [overlap, recall, class]
    return np.where(precision < 0, np.nan, precision).mean(1)


def alone(images, draws=3):
    return resample(None, images, draws=draws, rng=numpy_stream(0, "sample"))


@pytest.mark.parametrize("seed", range(8))
def test_is_cocos_average_precision(seed):
    found, truth = case(seed)
    expected, sample = coco(found, truth), alone(len(truth))
    for number, least in enumerate(IOUS):
        for label, one in enumerate(match(found, truth, 3, [least])):
            assert average_precision(one, sample).estimate.value == pytest.approx(expected[number, label], abs=1e-9)
    told = summarise_detections(found, truth, ["a", "b", "c"], sample)
    assert told["map"].estimate.value == pytest.approx(expected.mean(), abs=1e-9)
    assert told["map50"].estimate.value == pytest.approx(expected[0].mean(), abs=1e-9)
    assert told["ap50:b"].estimate.value == pytest.approx(expected[0, 1], abs=1e-9)
    assert 0.1 < expected[0].mean() < 0.95, "the case must not be trivial"


def box(label, left, score=None):
    row = [label, left, 0, left + 10, 10]
    return row if score is None else [*row, score]


HAND = [np.array([box(0, 0, 0.9), box(0, 2, 0.8), box(0, 50, 0.7)]), np.array([box(0, 30, 0.6)])]
TRUTH = [np.array([box(0, 0), box(0, 51)], float), np.array([box(0, 30), box(0, 80)], float)]


def test_by_hand():
    """The double is a false positive: precision 1, 1/2, 2/3, 3/4 at recall 1/4, 1/4, 2/4, 3/4; 1 is never reached."""
    (only,) = match(HAND, TRUTH, 1, [0.5])
    assert only.hit.tolist() == [[True, False, True, True]]
    assert only.objects.tolist() == [2, 2]
    recalls = np.linspace(0, 1, 101)
    expected = np.where(recalls <= 0.25, 1.0, np.where(recalls <= 0.75, 0.75, 0.0)).mean()
    assert average_precision(only, alone(2)).estimate.value == pytest.approx(expected)
    assert free_response_recall([only], alone(2), per_image=0.4).estimate.value == pytest.approx(0.25)
    assert free_response_recall([only], alone(2), per_image=0.5).estimate.value == pytest.approx(0.75)


def test_equal_scores_are_cut_together():
    found = [np.array([box(0, 0, 0.5), box(0, 50, 0.5)])]
    (only,) = match(found, [np.array([box(0, 0)], float)], 1, [0.5])
    assert free_response_recall([only], alone(1), per_image=0.5).estimate.value == 0
    assert free_response_recall([only], alone(1), per_image=1.0).estimate.value == 1


def test_what_is_not_there():
    empty, nothing = np.zeros((0, 6)), np.zeros((0, 5))
    told = summarise_detections([HAND[0], empty], [TRUTH[0], nothing], ["a", "b"], alone(2))
    assert told["ap50:b"].estimate.n == 0
    assert math.isnan(told["ap50:b"].estimate.value), "a class without objects is not measured"
    assert told["map50"].estimate.value == told["ap50:a"].estimate.value
    none = summarise_detections([empty] * 2, TRUTH, ["a"], alone(2))
    assert none["map50"].estimate.value == none["recall_at_1fp"].estimate.value == 0
    padding = np.array([[-1.0, 0, 0, 0, 0, 0]])
    padded = [np.concatenate([one, padding]) for one in HAND]
    same = [summarise_detections(one, TRUTH, ["a"], alone(2))["map"].estimate.value for one in (HAND, padded)]
    assert same[0] == same[1], "rows with a label below 0 are none"


def test_perfect_detections_have_the_interval_of_a_share():
    found = [np.column_stack([one, np.linspace(0.9, 0.8, len(one))]) for one in TRUTH * 6]
    told = summarise_detections(found, TRUTH * 6, ["a"], alone(12, draws=50))
    assert told["ap50:a"].estimate.value == 1
    assert 0.6 < told["ap50:a"].estimate.low < 0.9
    assert told["ap50:a"].estimate.high == 1


def test_a_draw_is_the_set_that_it_stands_for():
    """Weights are multiplicities: an image drawn twice counts as two images."""
    found, truth = case(3)
    sample = resample(None, len(truth), draws=6, rng=numpy_stream(1, "sample"))
    whole = match(found, truth, 3, [0.5])
    draws = [average_precision(one, sample).draws for one in whole]
    for draw, weights in enumerate(sample.weights):
        rows = np.repeat(np.arange(len(truth)), weights.astype(int))
        again = match([found[row] for row in rows], [truth[row] for row in rows], 3, [0.5])
        for label, one in enumerate(again):
            value = average_precision(one, alone(len(rows))).estimate.value
            assert draws[label][draw] == pytest.approx(value, nan_ok=True, abs=0.03)


def test_the_interval_is_by_patient_and_differences_are_paired():
    found, truth = case(4, images=40)
    patients = [f"p{row // 4}" for row in range(40)]
    by = {
        name: resample(groups, 40, draws=400, rng=numpy_stream(2, "sample"))
        for name, groups in (("image", None), ("patient", patients))
    }
    width = {}
    for name, sample in by.items():
        told = summarise_detections(found, truth, ["a", "b", "c"], sample)["map50"]
        assert told.estimate.low < told.estimate.value < told.estimate.high
        width[name] = told.estimate.high - told.estimate.low
        none = difference(told, told, sample).estimate
        assert (none.value, none.low, none.high) == (0, 0, 0)
    one = resample(["p"] * 40, 40, draws=5, rng=numpy_stream(2, "sample"))
    assert not summarise_detections(found, truth, ["a", "b", "c"], one)["map"].estimate.bounded
    assert set(width) == {"image", "patient"}


def test_more_false_positives_never_lower_the_recall():
    found, truth = case(5)
    every, sample = match(found, truth, 3, [0.5]), alone(12)
    values = [free_response_recall(every, sample, per_image=x).estimate.value for x in (0.05, 0.2, 0.5, 1, 2, 50)]
    assert values == sorted(values)
    hits = sum(int(one.hit.sum()) for one in every)
    assert values[-1] == pytest.approx(hits / sum(len(one) for one in truth))


def test_overlap_of_nothing_is_nothing():
    assert overlap(np.array([[1.0, 1, 1, 1]]), np.array([[1.0, 1, 1, 1]])).tolist() == [[0.0]]
    assert mean_average_precision((), alone(2)).estimate.n == 0


def test_refuses():
    with pytest.raises(InputError, match="detections must be given for each of 2 images, got 1"):
        match(HAND[:1], TRUTH, 1)
    with pytest.raises(InputError, match="scores must be numbers, got NaN"):
        match([np.array([box(0, 0, math.nan)])], TRUTH[:1], 1)
    (only,) = match(HAND, TRUTH, 1, [0.5])
    with pytest.raises(InputError, match="per_image must be a positive number of false positives, got 0"):
        free_response_recall([only], alone(2), per_image=0)
