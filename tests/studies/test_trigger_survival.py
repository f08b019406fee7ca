"""What is left of a trigger after preparation, as PROTOCOLS 1g-1 derives it, and where augmentation leaves it."""

import numpy as np
import pytest
from backdoored import given, stored

from aseptic.engine.cells import Job
from aseptic.ops.images import SAMPLINGS
from aseptic.studies import raw
from aseptic.studies.backdoors.survival import AFTER, GREY, augmented, prepared
from aseptic.studies.matsuo2021.measures import moved
from aseptic.studies.matsuo2021.settings import TRIGGER
from aseptic.studies.nwadike2021 import grid
from aseptic.studies.nwadike2021.measures import survived

SIDES = (1, 2, 3, 4, 5, 6)
LEFT = {
    "nearest": (0, 0, 1, 4, 4, 4),
    "nearest-legacy": (0, 1, 1, 1, 4, 9),
    AFTER: tuple(side**2 for side in SIDES),
}
"""Pixels that are left of triggers of these sides, by TensorFlow 2, by TensorFlow 1, and inserted last."""


def rows_of(function, config, folder):
    function(Job(config=config, inputs={}, folder=folder, context={}))
    return raw.frame({"x": folder}).drop(columns="cell")


@pytest.fixture(scope="module")
def left(tmp_path_factory):
    """The rows of the cell that the study has."""
    return rows_of(prepared, grid._survival().config, tmp_path_factory.mktemp("survival"))


@pytest.mark.parametrize("method", LEFT)
def test_both_nearest_rules_are_those_of_the_protocol(left, method):
    rows = left[left.method == method].set_index("side")
    assert tuple(rows.pixels[list(SIDES)]) == LEFT[method]
    whole = rows.pixels > 0
    assert (rows.largest[whole] == GREY).all(), "what is left is as black as it was"
    assert (rows.largest[~whole] == 0).all()


def test_averages_keep_a_trace_that_is_fainter(left):
    rows = left[left.method == "antialias"].set_index("side").loc[list(SIDES)]
    assert (rows.pixels >= 1).all()
    assert (rows.largest[:2] < GREY / 2).all()
    assert rows.largest.is_monotonic_increasing


def test_the_numbers_stand_in_the_study(left, tmp_path):
    found = given(survived(), stored(tmp_path, survival=left))
    assert len(found) == len(SIDES) * (len(SAMPLINGS) + 1)
    for method, counts in LEFT.items():
        assert tuple(found[f"survival.{method}.{side}"].value for side in SIDES) == counts
    one = found["survival.nearest.2"]
    assert (one.ci_low, one.ci_high, one.unit) == (0, 0, "pixels")
    assert one.args == {"side": 2, "largest_change": 0}


def place(folder, draws=200, size=48, **training):
    settings = {"flip": False, "shift": 0.0, **training}
    config = {"trigger": TRIGGER, "size": size, "training": settings, "draws": draws, "seed": 0}
    return rows_of(augmented, config, folder)


def test_without_augmentation_the_trigger_stays_in_place(tmp_path):
    rows = place(tmp_path, brightness=0.1)
    assert rows.groupby("where").size().to_dict() == {"training": 200, "test": 200}
    assert (rows.share == 1).all(), "grey values are not what is asked about"


def test_a_mirror_takes_it_away_from_every_second_image(tmp_path):
    rows = place(tmp_path, flip=True)
    training = rows[rows["where"] == "training"].share
    assert set(training) == {0, 1}
    assert abs(training.mean() - 0.5) < 4 * 0.5 / 200**0.5
    assert (rows[rows["where"] == "test"].share == 1).all()


def test_a_shift_leaves_the_overlap_of_the_shifted_box(tmp_path):
    """A box of side ``s`` that is moved by ``d`` keeps ``max(0, 1 - |d| / s)`` of itself along each axis."""
    rows = place(tmp_path, draws=4000, size=96, shift=0.05)
    reach, side = round(0.05 * 96), round(5 * 96 / 480)
    moves = np.abs(np.arange(-reach, reach + 1))
    wanted = np.maximum(0, 1 - moves / side).mean() ** 2
    found = rows[rows["where"] == "training"].share
    assert abs(found.mean() - wanted) < 4 * found.std() / 4000**0.5


def test_the_draws_are_the_same_every_time(tmp_path):
    (tmp_path / "again").mkdir()
    first, again = (place(folder, flip=True, shift=0.1) for folder in (tmp_path, tmp_path / "again"))
    assert first.equals(again)


def test_both_shares_stand_in_the_study(tmp_path):
    found = given(moved(), stored(tmp_path / "cells", place=place(tmp_path, flip=True)))
    assert found["place.test"].value == 1
    assert 0.3 < found["place.training"].value < 0.7
    assert found["place.training"].ci_low < found["place.training"].value < found["place.training"].ci_high
