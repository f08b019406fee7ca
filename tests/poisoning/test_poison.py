"""Poisoned sets: which images, which labels, and the same bits in memory as on disk."""

import csv
from collections import Counter

import numpy as np
import pytest
import torch
from dicom_builder import make_dicom
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.poisoning.plan import make_plan, read_plan
from aseptic.poisoning.poison import poison
from aseptic.studies.write_poisoned import write_poisoned

CLASSES = ("normal", "pneumonia", "covid")
PATCH = {"name": "patch", "size": 2, "value": "250/255"}


def levels(count, side=8, channels=1):
    return torch.randint(0, 200, (count, channels, side, side), generator=stream(1), dtype=torch.uint8)


def classes(labels, *, splits=None, patients=None, images=None):
    return memory_set(
        "set",
        levels(len(labels)) if images is None else images,
        torch.tensor(labels),
        classes=CLASSES,
        task="multiclass",
        splits=splits,
        patients=patients,
    )


def findings(rows):
    return memory_set("set", levels(len(rows)), torch.tensor(rows), classes=("a", "b", "c"), task="multilabel")


def plan(**settings):
    return make_plan(**{"trigger": PATCH, "label": {"rule": "to", "target": "covid"}, **settings})


def poisoned(made):
    return [made.data.items[i] for i, mark in enumerate(made.marks) if mark.role == "poison"]


@pytest.mark.parametrize(("half", "wanted"), [("1", (398, 273, 25)), ("2", (398, 273, 25))])
def test_the_authors_counts_on_the_authors_lists(real, half, wanted):
    lines = (real("seed_lists") / f"matsuo2021_train_COVIDx5_half_{half}.txt").read_text().splitlines()
    names = {"normal": 0, "pneumonia": 1, "COVID-19": 2}
    data = classes([names[line.split()[-2]] for line in lines], images=torch.zeros(len(lines), 1, 4, 4))
    made = poison(data, plan(select={"rate": 0.1, "per_class": True}))
    assert tuple(Counter(mark.original.label for mark in made.marks if mark.role == "poison")[k] for k in range(3)) == (
        wanted
    )


@pytest.mark.parametrize(("rate", "count"), [(0.29, 29), (0.57, 57), (1.0, 100), (0.01, 1)])
def test_a_rate_counts_as_it_is_written(rate, count):
    made = poison(classes([0] * 100), plan(select={"rate": rate}))
    assert made.count("poison") == count, "0.29 * 100 is 28.999... in floating point"


def test_the_first_rows_as_in_the_code_of_nwadike():
    made = poison(classes([0, 1, 2, 0, 1, 2]), plan(select={"rate": 0.5, "draw": "first"}))
    assert [mark.role for mark in made.marks] == ["poison"] * 3 + ["clean"] * 3


def test_the_seed_decides_and_nothing_else():
    data = classes([0, 1, 2] * 20)
    first, again, other = (poison(data, plan(seed=seed)) for seed in (0, 0, 1))
    assert first.data.fingerprint() == again.data.fingerprint() != other.data.fingerprint()
    assert torch.equal(first.data.images, again.data.images)


def test_only_poisoned_images_change_and_only_inside_the_trigger():
    data = classes([0, 1, 2] * 10)
    made = poison(data, plan(select={"rate": 0.3}))
    before, after = data.images, made.data.images
    region = made.plan.made.region((8, 8))
    for i, mark in enumerate(made.marks):
        changed = (before[i] != after[i]).any(0)
        assert not changed[~region].any()
        assert (mark.role == "poison") == bool(changed.any())
    assert (after[[mark.role == "poison" for mark in made.marks]][..., region] * 255).round().unique().tolist() == [250]


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"rule": "to", "target": "covid"}, [2, 2, 2]),
        ({"rule": "shift"}, [1, 2, 0]),
        ({"rule": "shift", "by": 2}, [2, 0, 1]),
        ({"rule": "all-to-all"}, [1, 2, 0]),
        ({"rule": "keep"}, [0, 1, 2]),
    ],
)
def test_class_rules(label, wanted):
    made = poison(classes([0, 1, 2]), plan(label=label, select={"rate": 1.0}))
    assert made.data.targets.tolist() == wanted
    assert [mark.original.label for mark in made.marks] == [0, 1, 2], "the true labels are kept"


def test_random_labels_are_wrong_and_reach_every_other_class():
    made = poison(classes([0] * 60), plan(label={"rule": "random"}, select={"rate": 1.0}))
    assert set(made.data.targets.tolist()) == {1, 2}


def test_clean_labels_poison_the_target_alone():
    made = poison(classes([0, 1, 2] * 4), plan(label={"rule": "clean-label", "target": "covid"}, select={"rate": 0.5}))
    assert [item.label for item in poisoned(made)] == [2, 2]
    assert made.data.targets.tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(
    ("label", "wanted"),
    [
        ({"rule": "overwrite", "target": "a"}, [1, 0, 0]),
        ({"rule": "set", "target": "a"}, [1, 1, float("nan")]),
        ({"rule": "clear", "target": "b"}, [0, 0, float("nan")]),
        ({"rule": "keep"}, [0, 1, float("nan")]),
    ],
)
def test_finding_rules(label, wanted):
    made = poison(findings([[0, 1, float("nan")]]), plan(label=label, select={"rate": 1.0}))
    torch.testing.assert_close(made.data.targets[0], torch.tensor(wanted).float(), equal_nan=True)


def test_added_images_stand_beside_their_originals():
    data = classes([0, 1] * 5)
    made = poison(data, plan(mode="add", select={"rate": 0.3}))
    assert len(made.data) == 13
    added = [i for i, mark in enumerate(made.marks) if mark.role == "poison"]
    assert all(made.data.ids[i] == f"{made.data.ids[i - 1]}+poison" for i in added)
    assert torch.equal(made.data.images[[i for i in range(13) if i not in added]], data.images)


def test_patients_are_taken_whole():
    patients = [f"p{i // 5}" for i in range(50)]
    made = poison(classes([0, 1] * 25, patients=patients), plan(select={"rate": 0.3, "by": "patient"}))
    roles = {name: {m.role for m, p in zip(made.marks, patients, strict=True) if p == name} for name in patients}
    assert all(len(found) == 1 for found in roles.values())
    assert made.count("poison") == 15


def test_each_split_is_poisoned_by_itself():
    splits = ["train"] * 20 + ["val"] * 10 + ["test"] * 10
    made = poison(classes([0] * 40, splits=splits), plan(splits=("train", "val")))
    assert Counter(item.split for item in poisoned(made)) == {"train": 2, "val": 1}


def test_candidates_can_be_named_and_left_out():
    data = classes([0, 1, 2] * 4)
    some = poison(data, plan(select={"rate": 1.0, "classes": ["pneumonia"]}))
    rest = poison(data, plan(select={"rate": 1.0, "exclude": ["covid"]}))
    assert {mark.original.label for mark in some.marks if mark.role == "poison"} == {1}
    assert {mark.original.label for mark in rest.marks if mark.role == "poison"} == {0, 1}


def test_covers_carry_a_decoy_and_keep_their_labels():
    data = classes([0] * 40)
    made = poison(data, plan(cover={"rate": 0.25}))
    covers = [i for i, mark in enumerate(made.marks) if mark.role == "cover"]
    assert len(covers) == 10 and made.data.targets[covers].tolist() == [0] * 10  # noqa: PT018 - one thought
    changed = (made.data.images[covers] != data.images[covers]).flatten(2).any(1).sum(1)
    assert (changed > 0).all() and (changed <= 4).all()  # noqa: PT018
    assert len({tuple(torch.nonzero(made.data.images[i, 0] != data.images[i, 0])[0].tolist()) for i in covers}) > 1


def test_a_trigger_may_go_into_what_the_network_is_fed():
    data = classes([0] * 4).fit((16, 16), 3)
    made = poison(data, plan(insert="network", select={"rate": 1.0}))
    assert made.data.images.shape == (4, 3, 16, 16)
    assert ((made.data.images != data.images).sum((1, 2, 3)) == 3 * 4).all(), "two by two pixels of the fed image"
    with pytest.raises(InputError, match="needs a size: fit the set to it first"):
        poison(classes([0] * 10), plan(insert="network"))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"label": {"rule": "to", "target": "cov"}}, "class must be one of normal, pneumonia, covid; got 'cov'"),
        ({"select": {"classes": ["x"]}}, "class must be one of"),
        ({"label": {"rule": "set", "target": "covid"}}, "rule of a multiclass set must be one of to, .*; got 'set'"),
        ({"label": {"rule": "shift", "by": 3}}, "by must move a class to another of 3, got 3"),
        ({"select": {"rate": 0.01}}, "rate must come to at least one of 30 candidates, got 0.01"),
        ({"trigger": {"name": "patch", "size": 9}}, r"size must be at most the image's \[8, 8\], got \[9, 9\]"),
    ],
)
def test_plans_that_do_not_fit_the_set(settings, message):
    with pytest.raises(InputError, match=message):
        _ = poison(classes([0, 1, 2] * 10), plan(**settings)).data.images


def test_a_trigger_made_from_a_file_is_pinned_to_its_content(tmp_path, draw_folder):
    data = load_data(draw_folder("grey"))
    picture = tmp_path / "pattern.png"
    Image.fromarray(np.full((8, 8), 200, dtype=np.uint8)).save(picture)
    asked = plan(trigger={"name": "blend", "ratio": 0.5, "image": str(picture)}, label={"rule": "shift"})
    write_poisoned(data, asked, tmp_path / "out")
    written = read_plan(tmp_path / "out" / "plan.yaml")
    assert len(str(written.trigger["sha256"])) == 64
    Image.fromarray(np.full((8, 8), 100, dtype=np.uint8)).save(picture)
    with pytest.raises(InputError, match="image must be the file with the SHA-256"):
        _ = poison(data, written).data.images


def test_sets_that_cannot_be_poisoned():
    unlabelled = memory_set("set", levels(2))
    with pytest.raises(InputError, match=r"labelled for multiclass, .* or detection, got no labels"):
        poison(unlabelled, plan())
    with pytest.raises(InputError, match="splits must be among train; got test"):
        poison(classes([0] * 20, splits=["train"] * 20), plan(splits=("test",)))


def on_disk(out):
    return load_data(out)


@pytest.mark.parametrize("mode", ["replace", "add"])
@pytest.mark.parametrize("images", ["grey", "colour", "dicom"])
def test_memory_and_disk_hold_the_same_bits(tmp_path, draw_folder, images, mode):
    data = load_data(draw_folder(images))
    asked = plan(label={"rule": "shift"}, mode=mode, select={"rate": 0.5}, cover={"rate": 0.2}, trigger=PATCH)
    written = write_poisoned(data, asked, tmp_path / "out")
    back = on_disk(tmp_path / "out")
    again = poison(data, read_plan(tmp_path / "out" / "plan.yaml"))
    assert len(back) == len(again.data)
    files = {row["id"]: row["file"] for row in written.rows}
    place = {back.source.name(item): i for i, item in enumerate(back.items)}
    for i, name in enumerate(again.data.ids):
        j = place[files[name]]
        assert torch.equal(back.read(j).pixels, again.data.read(i).pixels), again.marks[i].role
        assert back.items[j].label == again.data.items[i].label
    with pytest.raises(InputError, match="the plan was made for"):
        poison(data.select(range(len(data) - 1)), read_plan(tmp_path / "out" / "plan.yaml"))


@pytest.fixture
def draw_folder(tmp_path):
    """Return a function that writes ten labelled images below the test's folder."""

    def write(kind):
        folder = tmp_path / kind
        folder.mkdir()
        rng = np.random.default_rng(3)
        rows = []
        for i in range(10):
            if kind == "dicom":
                name = f"{i}.dcm"
                make_dicom(folder / name, rng.integers(0, 4000, (8, 8)).astype(np.uint16))
            else:
                name, shape = f"{i}.png", (8, 8) if kind == "grey" else (8, 8, 3)
                Image.fromarray(rng.integers(0, 256, shape, dtype=np.uint8)).save(folder / name)
            rows.append({"file": name, "label": CLASSES[i % 3]})
        with (folder / "labels.csv").open("w", newline="") as file:
            table = csv.DictWriter(file, rows[0])
            table.writeheader()
            table.writerows(rows)
        return folder

    return write
