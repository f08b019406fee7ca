"""Classes in a model's order: every label, finding and box keeps its name."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.data.base import Box
from aseptic.data.matching import match_classes
from aseptic.data.memory import memory_set

NAMES = ("cat", "dog", "eel", "fox")


def images(count):
    return np.zeros((count, 1, 4, 4), np.float32)


@given(order=st.permutations(NAMES))
def test_labels_keep_their_names(order):
    data = memory_set("zoo", images(6), torch.tensor([0, 1, 2, 3, 1, 0]), classes=NAMES, task="multiclass")
    found = match_classes(data, order)
    assert found.classes == tuple(order)
    assert [order[k] for k in found.targets.tolist()] == [NAMES[k] for k in data.targets.tolist()]
    assert torch.equal(match_classes(found, NAMES).targets, data.targets)


@given(order=st.permutations(NAMES))
def test_findings_keep_their_names(order):
    truth = torch.tensor([[1, 0, math.nan, 1], [0, 1, 0, math.nan]])
    data = memory_set("zoo", images(2), truth, classes=NAMES, task="multilabel")
    found = match_classes(data, order).targets
    for k, name in enumerate(NAMES):
        torch.testing.assert_close(found[:, order.index(name)], truth[:, k], equal_nan=True)


@given(order=st.permutations(NAMES))
def test_boxes_keep_their_names(order):
    boxes = [
        [Box(corners=(0.0, 0.0, 2.0, 2.0), label=2), Box(corners=(1.0, 1.0, 3.0, 3.0), label=0)],
        [],
        [Box(corners=(0.0, 0.0, 1.0, 1.0), label=9)],
    ]
    found = match_classes(memory_set("zoo", images(3), boxes=boxes, classes=NAMES, task="detection"), order)
    assert [order[box.label] for box in found.items[0].boxes] == ["eel", "cat"]
    assert [box.corners for box in found.items[0].boxes] == [box.corners for box in boxes[0]]
    assert found.items[2].boxes == tuple(boxes[2]), "what is no class stays none, for `verify` to name"
    if tuple(order) != NAMES:
        assert "must lie in 0..3, got 9" in found.verify().unreadable[0].reason


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (("cat", "dog", "eel", "gnu"), "must be cat, dog, eel, gnu, as the model has: it lacks gnu; it also has fox"),
        (("cat", "dog", "eel"), "must be cat, dog, eel, as the model has: it also has fox"),
        ((*NAMES, "gnu"), "it lacks gnu .where labels are numbers, or a class has no image, give `classes`."),
    ],
)
def test_other_classes_are_refused(classes, message):
    data = memory_set("zoo", images(4), torch.arange(4), classes=NAMES, task="multiclass")
    with pytest.raises(InputError, match=f"classes of zoo .*{message}"):
        match_classes(data, classes)


def test_masks_cannot_be_renumbered():
    data = memory_set("zoo", images(1), masks=np.zeros((1, 4, 4), int), classes=NAMES, task="segmentation")
    assert match_classes(data, NAMES) is data
    with pytest.raises(InputError, match=r"masks of zoo must number the classes as the model does, fox, .*; got cat"):
        match_classes(data, NAMES[::-1])
