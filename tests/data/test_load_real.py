"""Published data sets, as they are published."""

from collections import Counter

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.data.load import load_data


def test_kermany(real):
    data = load_data(real("cxr_kermany"))
    assert (data.task, data.classes, len(data)) == ("multiclass", ("normal", "pneumonia"), 3095)
    assert data.unreadable == ()
    assert all(data.patients)
    assert not any("kerm" in patient for patient in data.patients)
    test = data.split("test")
    test = test.select(range(0, len(test), 10)).fit((64, 64), 1).verify()
    assert test.unreadable == ()
    assert test.images.shape == (len(test), 1, 64, 64)
    assert set(test.targets.tolist()) == {0, 1}


def test_fundus(real):
    data = load_data(real("fundus_eye4"))
    assert (len(data), data.classes) == (1000, ("cataract", "diabetic_retinopathy", "glaucoma", "normal"))
    assert data.read(0).pixels.shape[0] == 3


def test_nih14_has_fourteen_findings(real):
    data = load_data(real("cxr_nih14_64"))
    assert (data.task, len(data), len(data.classes)) == ("multilabel", 831, 14)
    assert data.classes[:2] == ("Atelectasis", "Cardiomegaly")
    assert data.targets[0].tolist() == [0, 1] + [0] * 12
    assert not data.targets.isnan().any()
    two = load_data(real("cxr_nih14_64"), classes=["Hernia", "Mass"])
    assert torch.equal(two.targets, data.targets[:, [13, 4]])


def test_medmnist(real):
    data = load_data(real("medmnist_npz"))
    assert Counter(item.split for item in data.items) == {"train": 3882, "val": 524, "test": 624}
    test = load_data(real("medmnist_npz"), split="test", classes=["normal", "pneumonia"])
    assert test.images.shape == (624, 1, 28, 28)
    assert 0 < test.targets.float().mean() < 1


@pytest.mark.parametrize(("name", "n"), [("cxr_tb_lungs", 631), ("derm_ham10000", 2200)])
def test_labels_with_masks(real, name, n):
    data = load_data(real(name))
    assert (data.task, len(data)) == ("multiclass", n)
    masked = [i for i, item in enumerate(data.items) if item.mask is not None][:5]
    for i in masked:
        mask = data.mask(i)
        assert mask.shape == data.read(i).pixels.shape[1:]
        assert mask.unique().tolist() == [0, 1]
    assert data.fit((32, 32)).mask(masked[0]).shape == (32, 32)
    assert data.select(masked).verify().unreadable == ()


def test_hippocampus_masks(real):
    data = load_data(real("nifti_hippocampus"))
    assert (data.task, len(data)) == ("segmentation", 80)
    assert data.mask(0).shape == data.read(0).pixels.shape[1:]
    assert data.mask(0).unique().tolist() == [0, 1, 2]


def test_blood_cells(real):
    data = load_data(real("blood_bccd"))
    assert (data.task, data.classes, len(data)) == ("detection", ("RBC", "WBC", "Platelets"), 364)
    assert {item.split for item in data.items} == {"train", "val", "test"}
    _, height, width = data.read(0).pixels.shape
    for box in data.items[0].boxes:
        left, top, right, bottom = box.corners
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height


@pytest.mark.parametrize("name", ["cxr_covid3", "histo_lc25000_lung", "retina_drive"])
def test_other_tables(real, name):
    data = load_data(real(name), limit=20).fit((32, 32), 3).verify()
    assert data.unreadable == ()
    assert len(data) == 20


@pytest.mark.parametrize("decode", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_dicom_files_end_in_exactly_one_place(real, decode):
    folder = real("dicom_mixed") / "files"
    files = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    data = load_data(folder)
    good = data.verify() if decode else data
    read = {item.path.relative_to(folder).as_posix() for item in good.items}
    listed = {one.file.partition("#")[0] for one in good.unreadable}
    assert len(files) == 158
    assert read | listed == files
    assert not read & listed
    assert all(one.reason for one in good.unreadable)
    assert all(item.id.startswith("dcm-") for item in data.items)


def test_a_patient_on_both_sides_is_found(real, tmp_path):
    lines = (real("cxr_kermany") / "labels.csv").read_text().splitlines()
    torn = [line.replace(",train,", ",test,", 1) if i == 3 else line for i, line in enumerate(lines)]
    assert torn != lines
    folder = real("cxr_kermany")
    (tmp_path / "labels.csv").write_text("\n".join(torn).replace("images/", f"{folder}/images/"))
    with pytest.raises(InputError, match=r"a patient must be in one split only, and 1 of \d+ patients"):
        load_data(tmp_path)
