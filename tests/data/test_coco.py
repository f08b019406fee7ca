"""COCO boxes against hand-made corners."""

import json

import pytest

from aseptic.core.errors import InputError
from aseptic.data.base import Box
from aseptic.data.load import load_data

CONTENT = {
    "images": [
        {"id": 7, "file_name": "a.png", "split": "train", "patient_id": 12},
        {"id": 8, "file_name": "b.png", "split": "test"},
        {"id": 9, "file_name": "none.png"},
    ],
    "categories": [{"id": 5, "name": "cell"}, {"id": 2, "name": "artefact"}],
    "annotations": [
        {"id": 1, "image_id": 7, "category_id": 5, "bbox": [1, 2, 3, 4]},
        {"id": 2, "image_id": 7, "category_id": 2, "bbox": [0.5, 0, 1, 1]},
    ],
}


@pytest.fixture
def write(tmp_path, draw):
    draw("images/a.png")
    draw("b.png")

    def make(**changes):
        (tmp_path / "boxes.json").write_text(json.dumps(CONTENT | changes))
        return tmp_path

    return make


def test_boxes(write):
    data = load_data(write())
    assert (data.task, data.classes, data.ids) == ("detection", ("artefact", "cell"), ("images/a.png", "b.png"))
    assert data.items[0].boxes == (
        Box(corners=(1.0, 2.0, 4.0, 6.0), label=1),
        Box(corners=(0.5, 0.0, 1.5, 1.0), label=0),
    )
    assert data.items[1].boxes == ()
    assert [item.split for item in data.items] == ["train", "test"]
    assert data.unreadable[0].file == "none.png"
    reordered = load_data(write() / "boxes.json", classes=["cell", "mask", "artefact"])
    assert [box.label for box in reordered.items[0].boxes] == [0, 2]


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"annotations": [{"image_id": 1, "category_id": 5, "bbox": [0, 0, 1, 1]}]}, r"got image_id 1"),
        ({"annotations": [{"image_id": 7, "category_id": 4, "bbox": [0, 0, 1, 1]}]}, r"one of \[2, 5\], got 4"),
        (
            {"annotations": [{"image_id": 7, "category_id": 5, "bbox": [0, 0, 1]}]},
            r"boxes.json is not valid COCO: ValueErr",
        ),
        ({"annotations": [{"image_id": 7, "category_id": 5}]}, r"not valid COCO: KeyError 'bbox'"),
    ],
)
def test_messages(write, changes, match):
    with pytest.raises(InputError, match=match):
        load_data(write(**changes))


def test_wrong_files_and_tasks(write, tmp_path):
    with pytest.raises(InputError, match=r"label must be one of artefact; got 'cell' in annotation 1"):
        load_data(write(), classes=["artefact"])
    with pytest.raises(InputError, match=r"task must be detection for a COCO json, got 'multiclass'"):
        load_data(write(), task="multiclass")
    (tmp_path / "other.json").write_text("{}")
    with pytest.raises(InputError, match=r"other.json must be a COCO json with images, annotations, categories"):
        load_data(tmp_path / "other.json")
    (tmp_path / "broken.json").write_text("{")
    (tmp_path / "second.json").write_text(json.dumps(CONTENT))
    with pytest.raises(InputError, match=r"must hold one COCO json, got boxes.json, second.json; give the file"):
        load_data(tmp_path)
