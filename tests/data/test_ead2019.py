"""EAD 2019 on miniature copies: both layouts, both kinds of lines, and boxes that reach over the edge."""

import shutil

import pytest
import torch
from published import write_ead2019, write_frame, write_png
from torchvision.ops import box_convert

from aseptic.core.errors import InputError
from aseptic.data.collections.ead2019 import CLASSES
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym

DRAWN = "The splits were drawn at random, the same for every seed: 70 % train, 10 % val and 20 % test, "
DRAWN += "no video in two of them."


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """Twenty-four frames, six of them of two videos."""
    return write_ead2019(tmp_path_factory.mktemp("ead"))


def test_a_miniature_copy(mini):
    data = load_data(f"ead2019:{mini}")
    assert (data.name, data.task, data.classes, data.unreadable) == ("ead2019", "detection", CLASSES, ())
    assert len(data) == 24
    assert data.ids == tuple(sorted(path.name for path in mini.glob("*.jpg")))
    told = "2 videos were told by the names of their frames, and 18 frames count as videos of their own."
    assert data.notes == (f"Patients are not published: {told}", DRAWN)
    assert data.verify().unreadable == ()
    assert data.images.shape == (24, 3, 40, 48)
    for item, objects in zip(data.items, data.targets, strict=True):
        text = (mini / item.id).with_suffix(".txt").read_text().split("\n")[:-1]
        found = torch.tensor([[float(word) for word in line.split()] for line in text]).reshape(-1, 5)
        corners = box_convert(found[:, 1:], "cxcywh", "xyxy") * torch.tensor([48, 40, 48, 40])
        torch.testing.assert_close(objects[: len(found)], torch.cat([found[:, :1], corners], 1))
        assert (objects[len(found) :, 0] == -1).all()
    assert sum(not item.boxes for item in data.items) == 1
    assert {CLASSES[box.label] for item in data.items for box in item.boxes} == set(CLASSES)


def test_boxes_lie_where_the_frames_show_them(mini):
    data = load_data(f"ead2019:{mini}")
    for i, item in enumerate(data.items):
        for box in item.boxes:
            left, top, right, bottom = (round(at) for at in box.corners)
            inside = data.read(i).pixels[:, top + 2 : bottom - 2, left + 2 : right - 2].mean((1, 2)) * 255
            drawn = torch.tensor([30.0 * box.label, 255 - 30.0 * box.label, 40.0 * (box.label % 2)])
            assert (inside - drawn).abs().max() < 12


def test_every_layout_is_the_same_set(mini, tmp_path):
    prints = {load_data(f"ead2019:{mini}").fingerprint()}
    for place in ("trainingData_detection", "trainingData_detection/trainingData_detection"):
        shutil.copytree(mini, tmp_path / place / "there" / place)
        prints.add(load_data(f"ead2019:{tmp_path / place / 'there'}").fingerprint())
    prints.add(load_data(f"ead2019:{write_ead2019(tmp_path / 'apart', apart=True)}").fingerprint())
    (tmp_path / "apart" / "bbox").rename(tmp_path / "apart" / "bboxes")
    prints.add(load_data(f"ead2019:{tmp_path / 'apart'}").fingerprint())
    assert len(prints) == 1


def test_splits_part_videos_and_are_the_same_for_every_seed(mini):
    data = load_data(f"ead2019:{mini}", seed=9)
    assert [item.split for item in data.items] == [item.split for item in load_data(f"ead2019:{mini}").items]
    sides = {}
    for item in data.items:
        sides.setdefault(item.patient or item.id, set()).add(item.split)
    assert all(len(found) == 1 for found in sides.values())
    assert {item.split for item in data.items} == {"train", "val", "test"}
    videos = {item.id.rpartition("_")[0]: item.patient for item in data.items if "_" in item.id}
    assert videos == {name: pseudonym("patient", name) for name in ("1772_A_M62", "AN12")}
    bare = load_data(f"ead2019:{mini}?split=none")
    assert ({item.split for item in bare.items}, DRAWN in bare.notes) == ({None}, False)


def test_a_name_that_all_frames_share_is_no_video(tmp_path):
    for i in range(10):
        write_frame(tmp_path / f"frame_{i}.jpg", [])
    write_frame(tmp_path / "frame_77.jpg", [])
    data = load_data(f"ead2019:{tmp_path}")
    assert set(data.patients) == {None}
    assert data.notes[0].startswith("Patients are not published: 0 videos were told")
    write_frame(tmp_path / "00110_batch2.jpg", [])
    assert load_data(f"ead2019:{tmp_path}").patients == (None, *(pseudonym("patient", "frame"),) * 11)


def corners(folder):
    return [(box.label, box.corners) for item in load_data(f"ead2019:{folder}").items for box in item.boxes]


def test_boxes_are_cut_at_the_edge_and_counted(tmp_path):
    lines = [
        "6 0.5 0.5 0.5 0.5",
        "2 0.0 0.5 0.5 0.5",
        "3 0.9 0.9 0.3 0.3",
        "0 0.505 0.5 1.0 1.0",  # a quarter of a pixel
        "1 1.2 0.5 0.2 0.2",
        "4 0.5 0.5 0.0 0.2",
    ]
    write_frame(tmp_path / "00001.jpg", [])
    (tmp_path / "00001.txt").write_text("\n".join(lines) + "\n\n")
    assert [(label, pytest.approx(found)) for label, found in corners(tmp_path)] == [
        (6, (12, 10, 36, 30)), (2, (0, 10, 12, 30)), (3, (36, 30, 48, 40)), (0, (0.24, 0, 48, 40))
    ]  # fmt: skip
    data = load_data(f"ead2019:{tmp_path}")
    assert data.notes[2:4] == (
        "2 boxes reach over the edge of their image and were cut off there.",
        "2 boxes have no area inside their image and were left out.",
    )
    assert data.verify().unreadable == ()


def test_lines_with_names_are_corners_in_pixels(tmp_path):
    write_frame(tmp_path / "00001.jpg", [])
    (tmp_path / "00001.txt").write_text("artifact\t4.0\t5.0\t20.0\t30.0\nbubbles 0 0 48 40\nblur 1 1 1.5 1.5\n")
    assert corners(tmp_path) == [(2, (4, 5, 20, 30)), (5, (0, 0, 48, 40)), (3, (1, 1, 1.5, 1.5))]


def test_images_without_text_and_texts_without_image(tmp_path):
    write_frame(tmp_path / "00001.jpg", ["0 0.5 0.5 0.5 0.5"])
    write_frame(tmp_path / "00002.jpg", None)
    write_frame(tmp_path / "00003.jpg", [])
    (tmp_path / "00004.txt").touch()
    (tmp_path / "00005.jpg").write_bytes(b"no image")
    (tmp_path / "00005.txt").touch()
    (tmp_path / "class_list.txt").write_text("\n".join(CLASSES) + "\n")
    write_png(tmp_path / "histogram.png")
    data = load_data(f"ead2019:{tmp_path}")
    assert data.ids == ("00001.jpg", "00002.jpg", "00003.jpg")
    assert data.notes[2] == "1 images have no file of boxes and were taken for images without objects."
    assert [(one.file, one.reason) for one in data.unreadable][1] == ("00004.txt", "no image has its name")
    assert data.unreadable[0].file == "00005.jpg"
    assert (data.targets[1:, :, 0] == -1).all()


LINE = r"line 2 of 00001.txt must be CLASS X Y WIDTH HEIGHT in shares of the image, or NAME LEFT TOP RIGHT BOTTOM in "


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("0 0.5 0.5 0.5", rf"{LINE}pixels, got '0 0.5 0.5 0.5'"),
        ("0 0.9 0.5 0.5 0.5 0.5", rf"{LINE}pixels, got '0 0.9 0.5 0.5 0.5 0.5'"),
        ("0 0.5 0.5 wide 0.5", rf"{LINE}pixels, got '0 0.5 0.5 wide 0.5'"),
        ("0 0.5 nan 0.5 0.5", rf"{LINE}pixels, got '0 0.5 nan 0.5 0.5'"),
        ("0 10 20 30 40", rf"{LINE}pixels, got '0 10 20 30 40'"),
        ("7 0.5 0.5 0.5 0.5", "class must be 0 to 6 or one of specularity, .+, instrument; got '7' in line 2 of 00001"),
        ("artefact 1 2 3 4", r"got 'artefact' in line 2 of 00001.txt, did you mean 'artifact'\?"),
        ("-1 0.5 0.5 0.5 0.5", "got '-1' in line 2 of 00001.txt"),
    ],
)
def test_bad_lines(tmp_path, line, message):
    write_frame(tmp_path / "00001.jpg", ["0 0.5 0.5 0.5 0.5"])
    with (tmp_path / "00001.txt").open("a") as file:
        file.write(line)
    with pytest.raises(InputError, match=message):
        load_data(f"ead2019:{tmp_path}")


def test_another_list_of_classes(mini, tmp_path):
    shutil.copytree(mini, tmp_path, dirs_exist_ok=True)
    (tmp_path / "class_list.txt").write_text("\n".join([*CLASSES, "blood"]))
    with pytest.raises(InputError, match=r"class_list.txt must be specularity, .+; got specularity, .+ blood"):
        load_data(f"ead2019:{tmp_path}")


def test_what_lacks_is_named_with_what_was_found(tmp_path):
    (tmp_path / "bbox").mkdir()
    with pytest.raises(
        InputError,
        match=r"ead2019 must have images NAME.jpg beside NAME.txt, or in images beside bbox or bboxes, in .+ or "
        r".+trainingData_detection; found bbox",
    ):
        load_data(f"ead2019:{tmp_path}")
    with pytest.raises(InputError, match=r"option split of ead2019 must be one of drawn, none; got 'test'"):
        load_data(f"ead2019:{tmp_path}?split=test")
