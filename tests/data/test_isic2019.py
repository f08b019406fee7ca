"""ISIC 2019 in its published layout: the real lists of the FIBA paper in full, miniature copies, and laws."""

import shutil
from collections import Counter

import pytest
import torch
from published import write_fiba_lists, write_isic2019, write_isic_tables

from aseptic.core.errors import InputError
from aseptic.data.collections.isic2019 import CLASSES, GROUPED, IMAGES, METADATA, TRUTH, Isic2019
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym

WHOLE = (4522, 12875, 3323, 867, 2624, 239, 253, 628)
TEST = (916, 2584, 622, 178, 546, 51, 50, 119)
"""Images of each class, as PROTOCOLS counts them: of the whole set, and of the authors' list for test."""
SIZES = {"train": 17732, "val": 2533, "test": 5066}
DRAWN = "The splits were drawn at random, the same for every seed: 70 % train, 10 % val and 20 % test, "
DRAWN += "no lesion in two of them."
FILES = {"train": "train0.txt", "val": "validation0.txt", "test": "test0.txt"}


@pytest.fixture(scope="module")
def whole(real, tmp_path_factory):
    """The authors' lists as released, and tables with their labels in which two images of a class are one lesion."""
    folder, lists = tmp_path_factory.mktemp("whole"), real("seed_lists")
    (folder / "txt").mkdir()
    for name in (*FILES.values(), "ISIC2019_grandtruethlabels.csv"):
        shutil.copyfile(lists / f"fiba2022_{name}", folder / "txt" / name)
    lines = (lists / "fiba2022_ISIC2019_grandtruethlabels.csv").read_text().splitlines()[1:]
    rows, known = [], Counter()
    for image, label in (line.split(",") for line in lines):
        rows.append((image, int(label), f"IL_{label}_{known[label] // 2}"))
        known[label] += 1
    return write_isic_tables(folder, rows)


@pytest.fixture(scope="module")
def fiba(whole):
    """What the authors' lists say."""
    return Isic2019().lists(whole, {"split": "fiba"})


def counted(images):
    found = Counter(image.label for image in images)
    return tuple(found[label] for label in range(8))


def test_the_real_lists_of_the_authors(whole, fiba):
    assert (fiba.task, fiba.classes, fiba.unreadable) == ("multiclass", CLASSES, ())
    assert counted(fiba.images) == WHOLE
    for split, size in SIZES.items():
        named = (whole / "txt" / FILES[split]).read_text().split()
        found = [image for image in fiba.images if image.split == split]
        assert {image.name for image in found} == {f"{name}.jpg" for name in named}
        assert len(found) == len(named) == size
    assert counted(image for image in fiba.images if image.split == "test") == TEST
    assert sum("_downsampled" in image.name for image in fiba.images) == 2074


def test_torn_lesions_are_counted_and_parted(whole, fiba):
    sides = {}
    for image, row in zip(fiba.images, (whole / METADATA).read_text().splitlines()[1:], strict=True):
        name, _, _, lesion, _ = row.split(",")
        assert image.name == f"{name}.jpg", "in the order of the table"
        sides.setdefault(lesion, []).append(image)
    torn = {lesion: images for lesion, images in sides.items() if len({image.split for image in images}) > 1}
    assert len(torn) > 3000
    told = f"{len(torn)} of {len(sides)} lesions ({2 * len(torn)} images) are in several splits"
    assert fiba.notes == (
        GROUPED,
        f"The lists of the FIBA paper part images, not lesions: {told}, so that results look better than they are.",
    )
    for lesion, images in sides.items():
        expected = {f"{lesion} in {image.split}" for image in images} if lesion in torn else {lesion}
        assert {image.patient for image in images} == expected


def test_the_drawn_split_keeps_lesions_whole_and_classes_in_proportion(whole):
    lists = Isic2019().lists(whole, {"split": "drawn"})
    sides, shares = {}, {"train": 0.7, "val": 0.1, "test": 0.2}
    for image in lists.images:
        sides.setdefault(image.patient, set()).add(image.split)
    assert all(len(found) == 1 for found in sides.values())
    for split, share in shares.items():
        found = counted(image for image in lists.images if image.split == split)
        assert all(abs(here - share * every) <= 3 for here, every in zip(found, WHOLE, strict=True))


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """Eighty images of forty lesions."""
    return write_isic2019(tmp_path_factory.mktemp("isic"))


def test_a_miniature_copy(mini):
    data = load_data(f"isic2019:{mini}")
    assert (data.name, data.task, data.classes, data.unreadable) == ("isic2019", "multiclass", CLASSES, ())
    assert data.ids[:2] == ("ISIC_0000000_downsampled.jpg", "ISIC_0000001.jpg")
    assert data.targets.tolist() == [i // 2 % 8 for i in range(80)]
    assert data.patients[2] == data.patients[3] == pseudonym("patient", "IL_0000001")
    assert data.patients[8] is None
    assert data.notes == (
        GROUPED,
        DRAWN,
        "The lesion of 8 images is not published: each of them counts as one of its own.",
    )
    assert data.verify().unreadable == ()
    assert data.images.shape == (80, 3, 16, 16)


def test_the_draw_is_the_same_for_every_seed_and_for_a_copy_that_lacks_images(mini, tmp_path):
    data = load_data(f"isic2019:{mini}")
    splits = {item.id: item.split for item in data.items}
    assert {split: sum(one == split for one in splits.values()) for split in SIZES} == {
        "train": 56,
        "val": 8,
        "test": 16,
    }
    sides = {}
    for item in data.items:
        sides.setdefault(item.patient or item.id, set()).add(item.split)
    assert all(len(found) == 1 for found in sides.values())
    part = shutil.copytree(mini, tmp_path / "part")
    for path in sorted((part / IMAGES).iterdir())[::3]:
        path.unlink()
    again = load_data(f"isic2019:{part}", seed=5)
    assert {item.id: item.split for item in again.items} == {name: splits[name] for name in again.ids}
    assert {one.reason for one in again.unreadable} == {"the file is missing"}
    assert len(again) + len(again.unreadable) == 80


def test_the_lists_of_the_authors_and_no_splits(mini):
    data = load_data(f"isic2019:{mini}?split=fiba")
    assert data.name == "isic2019?split=fiba"
    for split, name in FILES.items():
        expected = {f"{image}.jpg" for image in (mini / name).read_text().split()}
        assert set(data.split(split).ids) == expected
        assert torch.bincount(data.split(split).targets, minlength=8).sum() == len(expected)
    assert any("part images, not lesions" in note for note in data.notes)
    assert {item.split for item in load_data(f"isic2019:{mini}?split=none").items} == {None}
    drawn = [load_data(f"isic2019:{mini}?split=none", split="test", seed=seed).ids for seed in (0, 0, 1)]
    assert drawn[0] == drawn[1] != drawn[2], "drawn with the seed where asked"


def test_fingerprints_are_stable_and_know_the_split(mini, tmp_path):
    moved = shutil.copytree(mini, tmp_path / "moved")
    (moved / IMAGES).rename(moved / "images")
    (moved / IMAGES).mkdir()
    (moved / "images").rename(moved / IMAGES / IMAGES)
    prints = [load_data(f"isic2019:{mini}{option}").fingerprint() for option in ("", "?split=fiba", "?split=none")]
    assert len(set(prints)) == 3
    assert load_data(f"isic2019:{moved}").fingerprint() == prints[0], "wherever the images lie"


ROWS = [("ISIC_1", 0, "IL_1"), ("ISIC_2", 1, "IL_1"), ("ISIC_3", 7, ""), ("ISIC_4", 3, "IL_2")]
LISTS = {"train": ["ISIC_1", "ISIC_2"], "validation": ["ISIC_3"], "test": ["ISIC_4"]}


@pytest.fixture
def made(tmp_path):
    """Four names of images, with empty files."""
    write_isic_tables(tmp_path, ROWS)
    write_fiba_lists(tmp_path, LISTS)
    (tmp_path / IMAGES).mkdir()
    for name, _, _ in ROWS:
        (tmp_path / IMAGES / f"{name}.jpg").touch()
    return tmp_path


def test_lists_that_tear_nothing_say_nothing(made):
    data = load_data(f"isic2019:{made}?split=fiba")
    assert [item.split for item in data.items] == ["train", "train", "val", "test"]
    assert data.patients == (*(pseudonym("patient", "IL_1"),) * 2, None, pseudonym("patient", "IL_2"))
    assert data.notes == (GROUPED, "The lesion of 1 images is not published: each of them counts as one of its own.")


def test_names_without_a_row_a_file_or_a_class(made):
    write_isic_tables(made, [*ROWS, ("ISIC_5", 8, "IL_3"), ("ISIC_6", 2, "IL_4")])
    write_fiba_lists(made, LISTS | {"test": ["ISIC_4", "ISIC_5", "ISIC_9"]})
    (made / IMAGES / "ISIC_1.jpg").unlink()
    data = load_data(f"isic2019:{made}?split=fiba")
    assert data.ids == ("ISIC_2.jpg", "ISIC_3.jpg", "ISIC_4.jpg")
    assert [(one.file, one.reason, one.split) for one in data.unreadable] == [
        ("ISIC_5.jpg", "its class is unknown (UNK)", None),
        ("ISIC_9.jpg", f"it has no row in {TRUTH}", "test"),
        ("ISIC_1.jpg", "the file is missing", "train"),
    ]
    assert f"1 images of {TRUTH} are in no list of the split and were left out." in data.notes


def refused(made, message, option="?split=fiba"):
    with pytest.raises(InputError, match=message):
        load_data(f"isic2019:{made}{option}")


def test_bad_lists(made):
    write_fiba_lists(made, LISTS | {"test": ["ISIC_1"]})
    refused(made, "each image must be listed once, and ISIC_1 is in train0.txt and in test0.txt")
    write_fiba_lists(made, LISTS | {"test": ["ISIC_4", "ISIC_4"]})
    refused(made, "each image must be listed once, and ISIC_4 is twice in test0.txt")
    (made / "test0.txt").unlink()
    refused(made, r"isic2019 must have test0.txt in .+ or .+txt; found ISIC_2019_Training_GroundTruth.csv, ISIC_2019")
    write_fiba_lists(made / "txt", {"test": ["ISIC_4"]})
    assert len(load_data(f"isic2019:{made}?split=fiba")) == 4


def test_labels_of_the_authors_must_agree(made):
    labels = {name: label for name, label, _ in ROWS}
    write_fiba_lists(made, LISTS, labels | {"ISIC_9": 4})
    assert len(load_data(f"isic2019:{made}?split=fiba")) == 4
    write_fiba_lists(made, LISTS, labels | {"ISIC_2": 4, "ISIC_3": 0})
    refused(
        made,
        r"ISIC2019_grandtruethlabels.csv must label images as ISIC_2019_Training_GroundTruth.csv does, and 2 differ: "
        r"ISIC_2 is 4 there and 1 here",
    )
    assert len(load_data(f"isic2019:{made}")) == 4, "they are not looked at where the lists are not"


def test_bad_tables(made):
    table = made / TRUTH
    good = table.read_text()
    table.write_text(good.replace("ISIC_2,0.0,1.0", "ISIC_2,1.0,1.0"))
    refused(made, r"row 3 of ISIC_.+csv must have 1 in one of MEL, .+, UNK and 0 in the others, got 1.0, 1.0, 0.0,", "")
    table.write_text(good.replace("ISIC_2,0.0,1.0", "ISIC_2,0.0,0.5"))
    refused(made, "row 3 of .+ must have 1 in one of MEL", "")
    table.write_text(good.replace("ISIC_2,", "ISIC_1,"))
    refused(made, f"each image must be listed once, and ISIC_1 is twice in {TRUTH}", "")
    table.write_text(good.replace("ISIC_2,", "ISIC_7,"))
    refused(made, f"each image of {TRUTH} must have a row in {METADATA}, and ISIC_7 has none", "")
    table.write_text(good.replace("VASC", "VAS"))
    refused(made, f"{TRUTH} must have a column VASC, got image, MEL, .+, did you mean 'VAS'", "")
    table.unlink()
    refused(made, f"isic2019 must have {TRUTH} in .+; found ISIC_2019_Training_Input, {METADATA}, test0", "")
    (made / METADATA).unlink()
    refused(made, f"isic2019 must have {METADATA} in .+; found ISIC_2019_Training_Input, test0", "")


def test_no_image_at_all(made):
    shutil.rmtree(made / IMAGES)
    refused(made, f"isic2019 must have its images in one of {IMAGES}, {IMAGES}/{IMAGES} of .+, and none of the 4", "")
    refused(made, r"option split of isic2019 must be one of drawn, fiba, none; got 'fba', did you mean", "?split=fba")
