"""COVIDx 5 in COVID-Net's layout: the real lists in full, some of their lines with images, and laws of the lines."""

import shutil
from collections import Counter

import pytest
from published import write_covidx, write_png

from aseptic.core.errors import InputError
from aseptic.data.collections.covidx5 import CLASSES, CONFOUNDED, Covidx5
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym

NAMES = [f"{split}_COVIDx5_half_{half}.txt" for split in ("train", "test") for half in "12"]
TRAIN = {"1": (3983, 2737, 258), "2": (3983, 2738, 259), "both": (7966, 5475, 517)}
"""Images of each class for training, as PROTOCOLS counts them."""


def counted(images, split):
    found = Counter(image.label for image in images if image.split == split)
    return tuple(found[label] for label in range(3))


@pytest.fixture(scope="module")
def whole(real, tmp_path_factory):
    """The published halves, no image."""
    folder, lists = tmp_path_factory.mktemp("whole"), real("seed_lists")
    (folder / "labels").mkdir()
    for name in NAMES:
        shutil.copyfile(lists / f"matsuo2021_{name}", folder / "labels" / name)
    return folder


@pytest.mark.parametrize("half", TRAIN)
def test_the_real_lists(whole, half):
    lists = Covidx5().lists(whole, {"half": half})
    assert (lists.task, lists.classes) == ("multiclass", ("normal", "pneumonia", "COVID-19"))
    assert counted(lists.images, "train") == TRAIN[half]
    assert counted(lists.images, "test") == ((100, 100, 100) if half == "both" else (50, 50, 50))
    patients = {split: {one.patient for one in lists.images if one.split == split} for split in ("train", "test")}
    assert not patients["train"] & patients["test"]


def test_the_halves_share_65_patients_with_covid(whole):
    both = {half: Covidx5().lists(whole, {"half": half}) for half in "12"}
    ill = {half: {one.patient for one in both[half].images if one.split == "train" and one.label == 2} for half in "12"}
    assert (len(ill["1"]), len(ill["2"]), len(ill["1"] & ill["2"])) == (208, 210, 65)
    for lists in both.values():
        assert lists.notes[0] == CONFOUNDED
        assert "share 75 patients, 65 of them with COVID-19 images in both" in lists.notes[1]
    assert Covidx5().lists(whole, {"half": "both"}).notes == (CONFOUNDED,)
    names = {half: {one.name for one in both[half].images} for half in "12"}
    assert not names["1"] & names["2"]
    assert names["1"] | names["2"] == {one.name for one in Covidx5().lists(whole, {"half": "both"}).images}


def test_every_normal_image_is_from_one_source_and_no_covid_image_is(real):
    lines = [
        line.split()
        for name in NAMES[:2]
        for line in (real("seed_lists") / f"matsuo2021_{name}").read_text().splitlines()
    ]
    sources = {label: {line[3] for line in lines if line[2] == label} for label in CLASSES}
    assert sources["normal"] == {"rsna"}
    assert "rsna" not in sources["COVID-19"]


@pytest.fixture(scope="module")
def small(real, tmp_path_factory):
    """Every 60th line of the real lists for training, every fifth of those for test, with images."""
    folder = tmp_path_factory.mktemp("small")
    for name in NAMES:
        lines = (real("seed_lists") / f"matsuo2021_{name}").read_text().splitlines()
        split, step = ("train", 60) if name.startswith("train") else ("test", 5)
        write_covidx(folder, f"labels/{name}", lines[::step], images=f"data/{split}")
    return folder


def test_a_few_hundred_real_images(small):
    data = load_data(f"covidx5:{small}?half=1")
    lines = [
        (split, line.split())
        for split in ("train", "test")
        for line in (small / "labels" / f"{split}_COVIDx5_half_1.txt").read_text().splitlines()
    ]
    assert (data.name, data.task, data.unreadable) == ("covidx5?half=1", "multiclass", ())
    assert data.ids == tuple(f"{split}/{words[1]}" for split, words in lines)
    assert [data.classes[label] for label in data.targets] == [words[2] for _, words in lines]
    assert list(data.patients) == [pseudonym("patient", words[0]) for _, words in lines]
    assert data.split("test").fit((8, 8), 1).verify().unreadable == ()
    assert data.items[0].path.parent == small / "data" / "train"
    union = load_data(f"covidx5:{small}")
    assert union.name == "covidx5"
    assert set(union.ids) == set(data.ids) | set(load_data(f"covidx5:{small}?half=2").ids)
    assert "val" not in {item.split for item in union.items}


LINES = [
    "7 a.png normal rsna",
    "8 with a space.png pneumonia cohen",
    "COVID 9 (1) COVID 9 (1).jpeg COVID-19 sirm",
    "10  two  spaces.jpg COVID-19",
]


@pytest.fixture
def made(tmp_path):
    """Four images to train on and one to test, their lists in the folder itself."""
    write_covidx(tmp_path, "train_COVIDx5.txt", [*LINES, ""])
    write_covidx(tmp_path, "test_COVIDx5.txt", ["11 b.png normal"])
    for name in ("a.png", "with a space.png", "COVID 9 (1).jpeg", "two  spaces.jpg"):
        write_png(tmp_path / "train" / name)
    write_png(tmp_path / "test" / "b.png")
    return tmp_path


def test_names_may_hold_spaces(made):
    data = load_data(f"covidx5:{made}")
    assert data.ids == (
        "train/a.png", "train/with a space.png", "train/COVID 9 (1).jpeg", "train/two  spaces.jpg", "test/b.png"
    )  # fmt: skip
    assert data.targets.tolist() == [0, 1, 2, 2, 0]
    assert data.patients == tuple(pseudonym("patient", one) for one in ("7", "8", "COVID 9 (1)", "10", "11"))


def test_the_lists_of_the_whole_come_before_those_of_the_halves(made):
    for name in NAMES:
        write_covidx(made, name, ["1 c.png normal rsna"])
    assert len(load_data(f"covidx5:{made}")) == 5


def test_an_image_of_the_same_name_may_be_in_both_splits(made):
    write_covidx(made, "test_COVIDx5.txt", ["11 a.png normal"])
    write_png(made / "data" / "test" / "a.png")
    data = load_data(f"covidx5:{made}")
    assert {"train/a.png", "test/a.png"} <= set(data.ids)


def test_missing_images_are_kept_out(made):
    (made / "train" / "a.png").unlink()
    data = load_data(f"covidx5:{made}")
    assert [(one.file, one.reason) for one in data.unreadable] == [("train/a.png", "the file is missing")]
    assert data.split("test").unreadable == ()


@pytest.mark.parametrize(
    ("line", "end"), [("9 a.png positive rsna", "positive rsna"), ("a.png normal", "a.png normal"), ("x", "x")]
)
def test_a_line_must_be_patient_file_label(made, line, end):
    write_covidx(made, "train_COVIDx5.txt", [*LINES, line])
    message = r"line 5 of train_COVIDx5.txt must be patient, file, label \(normal, pneumonia, COVID-19\) and perhaps"
    with pytest.raises(InputError, match=f"{message} source, got one that ends in '{end}'"):
        load_data(f"covidx5:{made}")


def test_an_image_twice(made):
    write_covidx(made, "train_COVIDx5.txt", LINES * 2)
    with pytest.raises(InputError, match=r"each image must be listed once, and train/a.png is twice in train_COVIDx5"):
        load_data(f"covidx5:{made}")


def test_what_lacks_is_named_with_what_was_found(made):
    with pytest.raises(
        InputError, match=r"covidx5 must have train_COVIDx5_half_2.txt in .+ or .+labels; found test, test_COVIDx5"
    ):
        load_data(f"covidx5:{made}?half=2")
    (made / "test_COVIDx5.txt").unlink()
    with pytest.raises(InputError, match=r"covidx5 must have test_COVIDx5.txt in .+; found test, train, train_COVIDx5"):
        load_data(f"covidx5:{made}")
    write_covidx(made, "test_COVIDx5.txt", ["11 b.png normal"])
    for part in ("train", "test"):
        shutil.rmtree(made / part)
    with pytest.raises(
        InputError,
        match=r"covidx5 must have its images in one of data/train, data/test, train, test of .+ none of the 5",
    ):
        load_data(f"covidx5:{made}")
