"""Infection of places and boxes: by hand, against scikit-learn and against a plain loop."""

import numpy as np
import pytest
import torch
from sklearn.metrics import f1_score, jaccard_score
from torchvision.ops import box_iou

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.dense_infection import (
    BoxHit,
    box_success,
    count_covered,
    count_objects,
    count_places,
    pixel_success,
    place_success,
    pooled_success,
    source_dice,
    source_iou,
)


def sample(n, patients=None):
    return resample(patients, n, draws=200, rng=numpy_stream(0, "draws"))


def labels(seed, n=6, side=7):
    return numpy_stream(seed, "labels").integers(0, 3, (n, side, side))


TRUTH = np.array([[[2, 2, 2, 2]], [[2, 1, 0, 0]], [[0, 1, 1, 0]]])
FOUND = np.array([[[1, 1, 1, 2]], [[2, 2, 0, 1]], [[1, 2, 1, 0]]])


def test_the_pixel_success_by_hand():
    """Of 4 places of class 2 three are answered as 1, of the second image's one none; the third image has none."""
    places = count_places(FOUND, TRUTH, 2, 1)
    assert places.there.tolist() == [4, 1, 0]
    assert places.found.tolist() == [1, 2, 1]
    assert places.both.tolist() == [1, 1, 0]
    assert places.won.tolist() == [3, 0, 0]
    each, pooled = (one(places, sample(3)).estimate for one in (pixel_success, pooled_success))
    assert (each.value, each.n) == (3 / 8, 2)
    assert (pooled.value, pooled.n) == (3 / 5, 2)
    assert source_iou(places, sample(3)).estimate.value == (1 / 4 + 1 / 2) / 2
    assert source_dice(places, sample(3)).estimate.value == (2 / 5 + 2 / 3) / 2


def test_erasing_counts_the_background():
    found = np.array([[[0, 0, 1, 2]]])
    assert count_places(found, TRUTH[:1], 2, 0).won.tolist() == [2]


def test_volumes_count_as_pictures_do():
    flat, deep = labels(1, side=6), labels(2, side=6)
    pictures = count_places(flat, deep, 2, 1)
    volumes = count_places(flat.reshape(6, 3, 3, 4), deep.reshape(6, 3, 3, 4), 2, 1)
    assert all((getattr(pictures, name) == getattr(volumes, name)).all() for name in ("there", "found", "both", "won"))


@pytest.mark.parametrize("seed", range(3))
def test_overlaps_are_those_of_scikit_learn(seed):
    found, true = labels(seed), labels(seed + 10)
    places = count_places(found, true, 2, 1)
    for measure, oracle in ((source_iou, jaccard_score), (source_dice, f1_score)):
        each = [oracle((a == 2).ravel(), (b == 2).ravel()) for a, b in zip(true, found, strict=True)]
        assert measure(places, sample(6)).estimate.value == pytest.approx(np.mean(each))


def test_a_model_that_ignores_the_structure_wins_all_of_it_and_an_honest_one_none():
    true = labels(3)
    blind, honest = np.where(true == 2, 1, true), true
    for found, wanted in ((blind, 1.0), (honest, 0.0)):
        measured = pixel_success(count_places(found, true, 2, 1), sample(6)).estimate
        assert measured.value == wanted
        assert measured.low <= wanted <= measured.high
        assert measured.low < measured.high, "six images do not prove it"


def test_without_the_structure_nothing_is_measured():
    places = count_places(np.zeros((2, 3, 3), dtype=int), np.zeros((2, 3, 3), dtype=int), 2, 1)
    for measure in (pixel_success, pooled_success, source_iou, source_dice):
        assert not measure(places, sample(2)).estimate.known


CELL = [0.0, 0.0, 4.0, 4.0]
HALF = [0.0, 0.0, 4.0, 2.0]
"""Its overlap with the cell is exactly one half."""
FAR = [10.0, 10.0, 14.0, 14.0]
OBJECTS = [np.array([[0, *CELL], [0, *FAR], [1, *FAR], [-1, *CELL]]), np.zeros((0, 5))]


def covered(detections, source=0, target=1, least=0.5, iou=0.5):
    found = [np.array(one, dtype=float).reshape(-1, 6) for one in (detections, [[1, *CELL, 1.0]])]
    return count_covered(found, OBJECTS, source=source, target=target, least=least, iou=iou).tolist()


@pytest.mark.parametrize(
    ("detections", "settings", "count"),
    [
        ([], {}, 0),
        ([[1, *CELL, 0.9]], {}, 1),
        ([[0, *CELL, 0.9]], {}, 0),
        ([[0, *CELL, 0.9]], {"target": None}, 1),
        ([[1, *CELL, 0.4]], {}, 0),
        ([[1, *CELL, 0.4]], {"least": 0.4}, 1),
        ([[1, *CELL, 0.4]], {"least": [0.9, 0.3, 0.9]}, 1),
        ([[1, *CELL, 0.4]], {"least": [0.3, 0.9, 0.3]}, 0),
        ([[1, *HALF, 0.9]], {}, 1),
        ([[1, *HALF, 0.9]], {"iou": 0.51}, 0),
        ([[1, *CELL, 0.9]], {"iou": 1.0}, 1),
        ([[1, *CELL, 0.9], [1, *HALF, 0.9], [1, *FAR, 0.9]], {}, 2),
        ([[-1, *CELL, 0.9]], {"target": None}, 0),
        ([[1, *FAR, 0.9]], {"source": 1}, 1),
        ([[1, *FAR, 0.9]], {"source": None}, 2),
    ],
)
def test_covered_boxes_by_hand(detections, settings, count):
    assert covered(detections, **settings) == [count, 0]


def test_objects_are_counted_by_class():
    assert count_objects(OBJECTS, 0).tolist() == [2, 0]
    assert count_objects(OBJECTS, None).tolist() == [3, 0]


@pytest.mark.parametrize("seed", range(3))
def test_covered_boxes_are_those_of_a_plain_loop(seed):
    rng = numpy_stream(seed, "boxes")

    def boxes(count, scored):
        corners = rng.random((count, 2)) * 8
        rows = np.hstack([rng.integers(0, 2, (count, 1)), corners, corners + 2 + 4 * rng.random((count, 2))])
        return np.hstack([rows, rng.random((count, 1))]) if scored else rows

    found, true = [[boxes(n, scored) for n in (5, 0, 9)] for scored in (True, False)]
    wanted = []
    for detections, own in zip(found, true, strict=True):
        kept = detections[(detections[:, 0] == 1) & (detections[:, 5] >= 0.3)]
        mine = own[own[:, 0] == 0]
        shared = box_iou(torch.tensor(mine[:, 1:5]), torch.tensor(kept[:, 1:5]))
        wanted.append(sum(bool((row >= 0.4).any()) for row in shared))
    counts = count_covered(found, true, source=0, target=1, least=0.3, iou=0.4)
    assert counts.tolist() == wanted
    rate = box_success(counts, count_objects(true, 0), sample(3)).estimate
    assert rate.value == pytest.approx(sum(wanted) / sum(len(one[one[:, 0] == 0]) for one in true))


def test_an_invented_box_is_looked_for_at_its_place():
    found = [np.array([[1, *CELL, 0.9]]), np.array([[1, *FAR, 0.9]]), np.array([[0, *CELL, 0.9]]), np.zeros((0, 6))]
    place = np.array([CELL] * 4)
    assert place_success(found, place, 1, 0.5, 0.5).tolist() == [1, 0, 0, 0]
    assert place_success(found, place, 1, 0.95, 0.5).tolist() == [0, 0, 0, 0]


def test_patients_are_drawn_whole():
    covers, total = np.array([1.0, 0, 1, 0]), np.ones(4)
    by_image = box_success(covers, total, sample(4)).estimate
    by_patient = box_success(covers, total, sample(4, ["a", "a", "b", "b"])).estimate
    assert by_image.value == by_patient.value == 0.5
    assert by_image.low < 0.5
    assert (by_patient.low, by_patient.high) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: BoxHit(overlap=0), r"overlap must lie in \(0, 1\], got 0"),
        (lambda: BoxHit(overlap=1.5), r"overlap must lie in \(0, 1\], got 1.5"),
        (lambda: BoxHit(confidence=-0.1), r"confidence must lie in \[0, 1\], got -0.1"),
        (lambda: count_places(TRUTH, TRUTH[:2], 2, 1), r"shape of the truth \[2, 1, 4\], got \[3, 1, 4\]"),
        (
            lambda: count_covered([], OBJECTS, source=0, target=1, least=0.5, iou=0.5),
            "detections must be given for each of 2 images, got 0",
        ),
    ],
)
def test_messages(make, message):
    with pytest.raises(InputError, match=message):
        make()
