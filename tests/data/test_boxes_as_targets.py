"""Boxes of a set as targets: scaled with the view, padded, and refused image by image where they cannot be."""

import json
import math

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.data.base import Box
from aseptic.data.coco import coco_text
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set


def box(*corners, label=0):
    return Box(corners=tuple(float(one) for one in corners), label=label)


def held(*boxes):
    images = torch.full((len(boxes), 1, 10, 20), 0.5)
    return memory_set("held", images, classes=["cell", "artefact"], task="detection", boxes=boxes)


def test_boxes_are_padded_and_scale_with_the_view():
    data = held([box(2, 1, 6, 5), box(0, 0, 20, 10, label=1)], [], [box(10, 5, 12, 10, label=1)])
    expected = [[[0, 2, 1, 6, 5], [1, 0, 0, 20, 10]], [[-1, 0, 0, 0, 0]] * 2, [[1, 10, 5, 12, 10], [-1, 0, 0, 0, 0]]]
    assert data.targets.tolist() == expected
    small = data.fit((20, 10))
    assert small.targets[0].tolist() == [[0, 1, 2, 3, 10], [1, 0, 0, 10, 20]]
    (batch,) = small.batches(3, order=[2, 0, 1])
    assert torch.equal(batch.targets, small.targets[[2, 0, 1]])
    assert batch.images.shape == (3, 1, 20, 10)
    assert held([], []).targets.shape == (2, 1, 5), "a row is there even where no image has an object"


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        (box(2, 1, 2, 5), r"must have an area (left < right, top < bottom), got [2, 1, 2, 5]"),
        (box(2, 5, 4, 1), r"must have an area"),
        (box(2, 1, math.nan, 5), r"must have an area"),
        (box(2, 1, 26, 5), r"must lie inside the image of 20 x 10 pixels, got [2, 1, 26, 5]"),
        (box(-3, 1, 6, 5), r"must lie inside the image of 20 x 10 pixels"),
        (box(20, 1, 20.5, 5), r"must have an area inside the image of 20 x 10 pixels"),
        (box(2, 1, 6, 5, label=2), r"the label of a box must lie in 0..1, got 2"),
    ],
)
def test_a_box_that_cannot_be_is_said_image_by_image(bad, reason):
    data = held([box(2, 1, 6, 5)], [bad], [])
    kept = data.verify()
    assert kept.ids == ("held/00000", "held/00002")
    assert reason in kept.unreadable[0].reason
    with pytest.raises(InputError, match="held/00001"):
        _ = data.targets


def test_an_overshoot_of_a_pixel_is_cut_off():
    data = held([box(-0.5, 1, 20.9, 10.4)]).verify()
    assert data.unreadable == ()
    assert data.targets[0].tolist() == [[0, 0, 1, 20, 10]]


def test_volumes_have_no_boxes():
    data = memory_set("v", torch.zeros((1, 1, 4, 4, 4)), classes=["a"], task="detection", boxes=[[box(0, 0, 1, 1)]])
    assert "must have 2 space axes" in data.verify().unreadable[0].reason


def test_coco_there_and_back(tmp_path, draw):
    draw("a.png")
    draw("sub/b.png")
    first = {
        "images": [{"id": 1, "file_name": "a.png", "patient_id": "p"}, {"id": 2, "file_name": "sub/b.png"}],
        "categories": [{"id": 7, "name": "cell"}, {"id": 9, "name": "artefact"}],
        "annotations": [
            {"id": 1, "image_id": 1, "category_id": 9, "bbox": [0.5, 0, 1, 1.5]},
            {"id": 2, "image_id": 1, "category_id": 7, "bbox": [0, 0, 2, 2]},
        ],
    }
    (tmp_path / "one.json").write_text(json.dumps(first))
    data = load_data(tmp_path / "one.json")
    (tmp_path / "one.json").unlink()
    (tmp_path / "two.json").write_text(coco_text(data.ids, data.items, data.classes))
    again = load_data(tmp_path)
    assert again.ids == data.ids
    assert again.classes == data.classes == ("cell", "artefact")
    assert torch.equal(again.targets, data.targets)
    assert [item.boxes for item in again.items] == [item.boxes for item in data.items]
