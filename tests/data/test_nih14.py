"""NIH ChestX-ray14 in its published layout: the real lists in full, a few hundred of their lines with images, laws."""

import os
import shutil

import pytest
import torch
from published import real_rows, real_shares, write_lists, write_png, write_table

from aseptic.core.errors import InputError
from aseptic.data.collections import base
from aseptic.data.collections.lists import Listed, carve_patients
from aseptic.data.collections.nih14 import FINDINGS, TABLES, WITH_NOTHING, Nih14
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym

PAPER_1 = "Atelectasis, Cardiomegaly, Effusion, Infiltration, Mass, Nodule, Pneumonia, Pneumothorax, Consolidation, "
PAPER_1 += "Edema, Emphysema, Fibrosis, Pleural_Thickening, Hernia"
WHOLE = (11559, 2776, 13317, 19894, 5782, 6331, 1431, 5302, 4667, 2303, 2516, 1686, 3385, 227)
TEST = (1156, 303, 1442, 2271, 542, 635, 124, 771, 424, 178, 337, 67, 334, 22)
"""Images with each finding: of the whole set, and of paper 1's test list."""
BORTSOVA = {  # images and patients in train, val and test
    "d0": ((3989, 1260), (351, 140), (25596, 2797)),
    "d1": ((39392, 12604), (4230, 1400), (25596, 2797)),
    "d2": ((38554, 12604), (4348, 1400), (25596, 2797)),
    "d3": ((19607, 6302), (4348, 1400), (25596, 2797)),
}


def counts(lists):
    findings = torch.tensor([image.label for image in lists.images])
    return tuple(findings.sum(0).int().tolist()), int((findings.sum(1) == 0).sum())


def chosen(split="official", outputs="14"):
    return {"split": split, "outputs": outputs}


@pytest.fixture(scope="module")
def rows(real):
    return real_rows(real("seed_lists"))


@pytest.fixture(scope="module")
def whole(real, rows, tmp_path_factory):
    """All published lists, no image."""
    folder, lists = tmp_path_factory.mktemp("whole"), real("seed_lists")
    write_table(folder, rows)
    (folder / "custom_splits").mkdir()
    shutil.copyfile(lists / "nwadike2021_test_triggered.csv", folder / "custom_splits" / "test.csv")
    return folder


@pytest.fixture(scope="module")
def small(real, rows, tmp_path_factory):
    """Some hundred patients of the real lists; the test list is the real one, cut to them."""
    folder, known = tmp_path_factory.mktemp("small"), {row[0]: row for row in rows}
    shares = real_shares(real("seed_lists") / "bortsova2021_d0_filenames.yml")
    test, train = shares["testIDs"][::250], shares["trainIDs"][::25] + shares["valIDs"][::10]
    kept = sorted([*test, *train])
    write_table(folder, [known[name] for name in kept])
    write_lists(folder, train, test)
    for i, name in enumerate(kept):
        place = "images" if i % 3 == 0 else f"images_{1 + i % 12:03d}/images"
        write_png(folder / place / name, mode="RGBA" if i % 10 == 0 else "L")
    return folder


def test_the_order_of_findings_is_that_of_paper_1():
    assert ", ".join(FINDINGS) == PAPER_1
    assert len(WITH_NOTHING) == 15
    assert set(WITH_NOTHING) == {"No Finding", *FINDINGS}


def test_the_whole_table(whole):
    lists = Nih14().lists(whole, chosen("none"))
    assert counts(lists) == (WHOLE, 60361)
    assert len(lists.images) == 112120
    assert len({image.patient for image in lists.images}) == 30805


def test_the_test_list_of_paper_1(whole):
    lists = Nih14().lists(whole, chosen("custom"))
    assert counts(lists) == (TEST, 5709)
    assert len(lists.images) == 11174
    assert len({image.patient for image in lists.images}) == 3995
    assert lists.images[0].name == "00029810_002.png", "in the order of the table: its poisoned rows are the first"
    assert {image.split for image in lists.images} == {"test"}
    assert "The tables mark 11174 images for a trigger (Trigger Bool); they are read as stored" in lists.notes[0]


@pytest.mark.parametrize(
    "name", ["d0", *(pytest.param(name, marks=pytest.mark.slow) for name in BORTSOVA if name != "d0")]
)
def test_the_splits_of_paper_5(real, rows, tmp_path, name):
    published = real("seed_lists") / f"bortsova2021_{name}_filenames.yml"
    (tmp_path / "splits").mkdir()
    shutil.copyfile(published, tmp_path / "splits" / f"{name}_filenames.yml")
    named = {image for images in real_shares(published).values() for image in images}
    others = [row for row in rows if row[0] not in named][:25]
    write_table(tmp_path, [row for row in rows if row[0] in named] + others)
    lists = Nih14().lists(tmp_path, chosen(name, "15"))
    parts = [[image for image in lists.images if image.split == split] for split in ("train", "val", "test")]
    assert tuple((len(part), len({image.patient for image in part})) for part in parts) == BORTSOVA[name]
    assert lists.classes == WITH_NOTHING
    assert lists.unreadable == ()
    assert lists.notes == ("25 images of Data_Entry_2017_v2020.csv are in no list of the split and were left out.",)


def test_a_few_hundred_real_images(small, rows):
    data = load_data(f"nih14:{small}")
    known = {name: (found, patient) for name, found, patient in rows}
    assert (data.name, data.task, data.classes) == ("nih14", "multilabel", FINDINGS)
    assert data.unreadable == ()
    assert len(data) > 250
    for item, values in zip(data.items, data.targets.tolist(), strict=True):
        found, patient = known[item.id]
        named = {name for name, value in zip(FINDINGS, values, strict=True) if value}
        assert (named or {"No Finding"}) == set(found.split("|"))
        assert item.patient == pseudonym("patient", patient)
    assert data.fit((8, 8), 1).verify().unreadable == ()
    test = set((small / "test_list.txt").read_text().split())
    assert {item.id for item in data.items if item.split == "test"} == test
    patients = {split: set(data.split(split).patients) for split in ("train", "val", "test")}
    assert not patients["train"] & patients["val"]
    assert len(patients["val"]) == round((len(patients["train"]) + len(patients["val"])) / 10)
    again = load_data(f"nih14:{small}", seed=7)
    assert [item.split for item in again.items] == [item.split for item in data.items], "the same for every seed"


ROWS = [
    ("00000001_000.png", "Cardiomegaly", "1"),
    ("00000001_001.png", "Cardiomegaly|Emphysema", "1"),
    ("00000002_000.png", "No Finding", "2"),
    ("00000003_000.png", "Hernia|Infiltration", "3"),
    ("00000004_000.png", "Pleural_Thickening", "4"),
]
NAMES = [row[0] for row in ROWS]


@pytest.fixture
def made(tmp_path):
    """Five images in the layout, with the lists of the publishers."""
    write_table(tmp_path, ROWS)
    write_lists(tmp_path, NAMES[:4], NAMES[4:])
    for i, name in enumerate(NAMES):
        write_png(tmp_path / ("images" if i < 2 else "images_012/images") / name)
    return tmp_path


@pytest.mark.parametrize("version", TABLES)
def test_both_versions_of_the_table(made, version):
    for name in TABLES:
        (made / name).unlink(missing_ok=True)
    write_table(made, ROWS, version)
    data = load_data(f"nih14:{made}")
    assert data.ids == tuple(NAMES)
    assert [FINDINGS[i] for i in data.targets[3].nonzero()[:, 0]] == ["Infiltration", "Hernia"]
    assert data.targets[2].tolist() == [0] * 14
    assert data.items[0].patient == data.items[1].patient != data.items[2].patient


def test_the_corrected_version_comes_first(made):
    write_table(made, [(name, "Mass", patient) for name, _, patient in ROWS], "Data_Entry_2017.csv")
    assert load_data(f"nih14:{made}").targets[0].tolist() != load_data(f"nih14:{made}").targets[2].tolist()


def test_fifteen_outputs_have_one_for_no_finding(made):
    data = load_data(f"nih14:{made}?outputs=15")
    assert (data.name, data.classes) == ("nih14?outputs=15", WITH_NOTHING)
    named = [[WITH_NOTHING[i] for i in row.nonzero()[:, 0]] for row in data.targets]
    assert named == [
        ["Cardiomegaly"], ["Cardiomegaly", "Emphysema"], ["No Finding"], ["Hernia", "Infiltration"],
        ["Pleural_Thickening"],
    ]  # fmt: skip
    fewer = load_data(f"nih14:{made}")
    assert [item.split for item in data.items] == [item.split for item in fewer.items]


def test_missing_images_are_kept_out_of_their_split(made):
    (made / "images" / NAMES[0]).unlink()
    (made / "images_012/images" / NAMES[4]).unlink()
    write_png(made / "images_012/images" / "another.png")
    data = load_data(f"nih14:{made}")
    assert data.ids == tuple(NAMES[1:4])
    assert [(one.file, one.reason) for one in data.unreadable] == [
        (NAMES[0], "the file is missing"), (NAMES[4], "the file is missing")
    ]  # fmt: skip
    own = next(item.split for item in load_data(f"nih14:{made}?split=none").items if item.id == NAMES[1])
    assert own is None
    assert [one.file for one in load_data(f"nih14:{made}", split="train").unreadable] == [NAMES[0]]
    assert len(load_data(f"nih14:{made}", split="train", max_bad=1)) > 0
    with pytest.raises(InputError, match=r"max_bad allows 1 unreadable files, got 2: 00000001_000.png: the file is"):
        load_data(f"nih14:{made}", max_bad=1)


def test_no_image_is_opened_and_each_folder_scanned_once(made, monkeypatch):
    for path in made.rglob("*.png"):
        path.write_bytes(b"no image")
    seen, scan = [], os.scandir
    monkeypatch.setattr(base.os, "scandir", lambda path: (seen.append(str(path)), scan(path))[1])
    data = load_data(f"nih14:{made}")
    assert len(data) == 5
    assert seen == [str(made / "images"), str(made / "images_012/images")]
    monkeypatch.undo()
    bad = data.verify()
    assert len(bad) == 0
    assert [one.file for one in bad.unreadable] == ["images/" + name for name in NAMES[:2]] + [
        "images_012/images/" + name for name in NAMES[2:]
    ]


def test_lists_choose_the_images(made):
    write_lists(made, NAMES[:2], [NAMES[3], "00000009_000.png"])
    data = load_data(f"nih14:{made}")
    assert data.ids == (NAMES[0], NAMES[1], NAMES[3])
    assert "2 images of Data_Entry_2017_v2020.csv are in no list of the split and were left out." in data.notes
    (stray,) = data.unreadable
    assert (stray.file, stray.reason) == ("00000009_000.png", "it has no row in Data_Entry_2017_v2020.csv")
    every = load_data(f"nih14:{made}?split=none")
    assert (len(every), {item.split for item in every.items}) == (5, {None})
    assert len(load_data(f"nih14:{made}?split=none", split="test", test_share=0.4)) == 2, "drawn at random where asked"


CUSTOM = ",Image Index,Patient ID,Finding Labels," + PAPER_1.replace(", ", ",") + ",Trigger Bool"


def custom(path, rows, marked="False"):
    lines = [CUSTOM]
    for i, (name, found, patient) in enumerate(rows):
        bits = ",".join(str(int(one in found.split("|"))) for one in FINDINGS)
        lines.append(f"{i},{name},{patient},{found},{bits},{marked}")
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")


def test_custom_tables_need_no_other(made):
    for name in (*TABLES, "train_val_list.txt", "test_list.txt"):
        (made / name).unlink(missing_ok=True)
    custom(made / "custom_splits" / "train.csv", ROWS[2:0:-1])
    custom(made / "custom_splits" / "dev.csv", ROWS[3:4])
    custom(made / "test.csv", ROWS[4:], marked="True")
    data = load_data(f"nih14:{made}?split=custom")
    assert data.ids == (NAMES[2], NAMES[1], NAMES[3], NAMES[4])
    assert [item.split for item in data.items] == ["train", "train", "val", "test"]
    assert data.notes == (
        "The tables mark 1 images for a trigger (Trigger Bool); they are read as stored, without it.",
    )


def test_custom_tables_may_not_part_a_patient(made):
    custom(made / "train.csv", ROWS[:1])
    custom(made / "dev.csv", ROWS[1:3])
    with pytest.raises(InputError, match="a patient must be in one split only, and 1 of 2 patients"):
        load_data(f"nih14:{made}?split=custom")


def test_custom_columns_must_agree_with_the_text(made):
    custom(made / "train.csv", ROWS)
    text = (
        (made / "train.csv")
        .read_text()
        .replace("1,00000001_001.png,1,Cardiomegaly|Emphysema,0,1", "1,x.png,1,Mass,0,1")
    )
    (made / "train.csv").write_text(text)
    with pytest.raises(InputError, match=r"what Finding Labels says, 'Mass', and do not in row 3 of train.csv"):
        load_data(f"nih14:{made}?split=custom")


def test_patients_are_carved_whatever_their_number_of_images():
    images = [
        Listed(name=f"{i}", label=0, patient=f"p{i % 100}" if i < 1000 else None, split="train" if i % 50 else "test")
        for i in range(1200)
    ]
    drawn = carve_patients(images, share=0.25, seed=3)
    assert [(a.name, a.label, a.patient) for a in drawn] == [(b.name, b.label, b.patient) for b in images]
    assert all(a.split == b.split for a, b in zip(drawn, images, strict=True) if b.split == "test")
    owners = {split: {one.patient or one.name for one in drawn if one.split == split} for split in ("train", "val")}
    assert not owners["train"] & owners["val"]
    assert len(owners["val"]) == round(0.25 * len(owners["train"] | owners["val"]))
    assert drawn == carve_patients(images, share=0.25, seed=3) != carve_patients(images, share=0.25, seed=4)


def refused(made, message, option=""):
    with pytest.raises(InputError, match=message):
        load_data(f"nih14:{made}{option}")


def test_what_lacks_is_named_with_what_was_found(made):
    refused(made, r"nih14 must have d1_filenames.yml in .+ or .+splits; found Data_Entry", "?split=d1")
    refused(made, r"nih14 must have train.csv or dev.csv or test.csv in .+ or .+custom_splits; found", "?split=custom")
    (made / TABLES[0]).unlink()
    looked = (
        r"nih14 must have Data_Entry_2017_v2020.csv or Data_Entry_2017.csv in .+; found images, images_012, test_list"
    )
    refused(made, looked)
    write_table(made, ROWS)
    (made / "test_list.txt").unlink()
    refused(
        made, r"nih14 must have test_list.txt in .+; found Data_Entry_2017_v2020.csv, images, images_012, train_val"
    )
    for name in "abcdefg":
        (made / name).touch()
    refused(made, r"; found Data_Entry_2017_v2020.csv, a, b, c, d, e, f, g and 3 more")


def test_no_image_at_all(made):
    shutil.rmtree(made / "images")
    shutil.rmtree(made / "images_012")
    refused(
        made,
        r"nih14 must have its images in one of images, images_001/images, .+, images_012/images of .+, "
        r"and none of the 5 that its lists name is there; found Data_Entry",
    )


def test_bad_tables(made):
    write_table(made, [(NAMES[0], "Mas", "1")])
    refused(made, r"finding must be one of No Finding, Atel.+; got 'Mas' in row 2 of Data.+, did you mean 'Mass'\?")
    write_table(made, [(NAMES[0], "Mass|No Finding", "1")])
    refused(made, r"No Finding must stand alone, got 'Mass\|No Finding' in row 2 of Data_Entry_2017_v2020.csv")
    write_table(made, ROWS[:1] * 2)
    refused(made, r"each image must be listed once, and 00000001_000.png is twice in Data_Entry_2017_v2020.csv")
    (made / TABLES[0]).write_text("Image,Patient ID\n1,2\n")
    refused(made, r"v2020.csv must have a column Image Index, got Image, Patient ID")


def test_bad_lists(made):
    write_lists(made, NAMES, NAMES[:1])
    refused(made, r"each image must be listed once, and 0.+1_000.png is in train_val_list.txt and in test_list.txt")
    (made / "test_list.txt").write_bytes(b"\xff")
    refused(made, r"test_list.txt must be text in UTF-8")
    (made / "d2_filenames.yml").write_text("trainIDs: [a]")
    refused(made, r"d2_filenames.yml must hold the lists trainIDs, valIDs, testIDs", "?split=d2")
    (made / "d2_filenames.yml").write_text("trainIDs: [a")
    refused(made, r"d2_filenames.yml must be YAML: while parsing", "?split=d2")
