"""Folders without a table."""

import pytest

from aseptic.core.errors import InputError
from aseptic.data.load import load_data


def test_class_folders(tmp_path, draw):
    for name in ("sick/a.png", "sick/deep/b.png", "healthy/a.png"):
        draw(name)
    (tmp_path / "rare").mkdir()
    (tmp_path / "README.md").write_text("not an image, and not beside any")
    data = load_data(tmp_path)
    assert (data.task, data.classes) == ("multiclass", ("healthy", "rare", "sick"))
    assert dict(zip(data.ids, data.targets.tolist(), strict=True)) == {
        "healthy/a.png": 0,
        "sick/a.png": 2,
        "sick/deep/b.png": 2,
    }
    with pytest.raises(InputError, match=r"one of healthy, sick; got 'rare' in the sub-folders of"):
        load_data(tmp_path, classes=["healthy", "sick"])


def test_split_folders_of_class_folders(tmp_path, draw):
    for split, label in (("train", "x"), ("train", "y"), ("valid", "x"), ("test", "y"), ("test", "x")):
        draw(f"{split}/{label}/{split}.png")
    data = load_data(tmp_path)
    assert (data.task, data.classes) == ("multiclass", ("x", "y"))
    assert [item.split for item in data.items] == ["test", "test", "train", "train", "val"]
    assert load_data(tmp_path, split="val").ids == ("valid/x/valid.png",)


def test_split_folders_of_images(tmp_path, draw):
    for split in ("train", "test"):
        draw(f"{split}/a.png")
    data = load_data(tmp_path)
    assert (data.task, [item.split for item in data.items]) == (None, ["test", "train"])


def test_images_alone(tmp_path, draw):
    draw("a.png")
    draw("x/b.png")
    draw("y/c.png")
    (tmp_path / ".hidden.png").write_bytes(b"left alone")
    (tmp_path / "notes.txt").write_text("ward 3")
    (tmp_path / "empty.png").touch()
    data = load_data(tmp_path)
    assert (data.task, data.ids) == (None, ("a.png", "x/b.png", "y/c.png"))
    reasons = {one.file: one.reason for one in data.unreadable}
    assert reasons["empty.png"] == "the file is empty"
    assert reasons["notes.txt"] == "format must be one of dicom, nifti, raster; the file begins with b'ward 3'"
    assert "The images have no labels." in data.notes


def test_one_image_file(draw):
    data = load_data(draw("a.png"))
    assert (data.ids, data.name) == (("a.png",), "a")


def test_pairs(tmp_path, draw):
    for name in (
        "images/a.png",
        "images/b.c.png",
        "images/alone.png",
        "labels/a.tif",
        "labels/b.c.png",
        "labels/z.png",
    ):
        draw(name)
    data = load_data(tmp_path)
    assert data.task == "segmentation"
    masks = {item.id: item.mask and item.mask.name for item in data.items}
    assert masks == {"images/a.png": "a.tif", "images/alone.png": None, "images/b.c.png": "b.c.png"}
    assert "1 images have no mask; 1 masks have no image." in data.notes
    draw("labels/a.png")
    with pytest.raises(InputError, match=r"each image must have one mask, and a has a.png and a.tif"):
        load_data(tmp_path)


def test_a_task_that_the_folder_cannot_serve(tmp_path, draw):
    draw("a.png")
    with pytest.raises(InputError, match=r"task segmentation needs images/ with masks/, and the folder .+ has none"):
        load_data(tmp_path, task="segmentation")
    with pytest.raises(InputError, match=r"task multilabel needs a labels.csv or a COCO json"):
        load_data(tmp_path, task="multilabel")
    with pytest.raises(InputError, match=r"task multiclass needs a labels.csv or one sub-folder a class"):
        load_data(tmp_path, task="multiclass")


def test_an_empty_folder(tmp_path):
    with pytest.raises(InputError, match=r"data must hold at least one image, and .+ holds no files"):
        load_data(tmp_path)


def test_a_folder_of_nothing_readable(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    data = load_data(tmp_path)
    assert len(data) == 0
    assert data.unreadable[0].reason.startswith("cannot be decoded")
