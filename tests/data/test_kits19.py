"""KiTS19 on miniature copies: cases, masks, axes and the window of Hounsfield units."""

import json
import shutil
from dataclasses import replace

import nibabel as nib
import numpy as np
import pytest
import torch
from published import write_case, write_kits19

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import ReadOptions
from aseptic.data.collections.kits19 import CLASSES, NAMED, WINDOW
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym

SHAPE = (6, 16, 16)
DRAWN = "The splits were drawn at random, the same for every seed: 70 % train, 10 % val and 20 % test, "
DRAWN += "no case in two of them."
WINDOWED = "-79 to 304 HU become 0 to 1 (--window 112.5/383), which is our choice."


@pytest.fixture(scope="module")
def mini(tmp_path_factory):
    """Ten cases with masks, and two without."""
    return write_kits19(tmp_path_factory.mktemp("kits"))


def test_a_miniature_copy(mini):
    data = load_data(f"kits19:{mini}")
    assert (data.name, data.task, data.classes, data.unreadable) == ("kits19", "segmentation", CLASSES, ())
    assert data.ids == tuple(f"case_{i:05d}/imaging.nii.gz" for i in range(10))
    assert data.patients == tuple(pseudonym("patient", f"case_{i:05d}") for i in range(10))
    assert data.notes == (
        DRAWN,
        "2 cases were published without masks and were left out.",
        WINDOWED,
        NAMED,
    )
    assert data.verify().unreadable == ()
    for i, item in enumerate(data.items):
        stored = nib.load(item.mask).get_fdata()
        assert np.array_equal(data.mask(i).numpy(), stored)
    assert set(data.targets.unique().tolist()) == {0, 1, 2}


def test_hounsfield_units_become_the_window(mini):
    data = load_data(f"kits19:{mini}")
    values = nib.load(data.items[3].path).get_fdata()
    assert values.min() < -79
    expected = torch.from_numpy(((values + 79) / 383).clip(0, 1)).float()
    loaded = data.read(3)
    torch.testing.assert_close(loaded.pixels[0], expected, rtol=0, atol=1e-6)
    assert (loaded.scale.low, loaded.scale.high) == (-79, 304)
    assert loaded.spacing == pytest.approx((3.0, 0.8, 0.8))


@pytest.mark.parametrize(("window", "low", "high"), [("full", None, None), ("40/400", -160, 240)])
def test_another_window_is_kept(mini, window, low, high):
    data = load_data(f"kits19:{mini}", options=ReadOptions(window=window))
    values = nib.load(data.items[0].path).get_fdata()
    scale = data.read(0).scale
    assert (scale.low, scale.high) == pytest.approx((values.min(), values.max()) if low is None else (low, high))
    assert WINDOWED not in data.notes
    assert data.fingerprint() != load_data(f"kits19:{mini}").fingerprint()
    asked = load_data(f"kits19:{mini}", options=ReadOptions(window=WINDOW))
    assert asked.fingerprint() == load_data(f"kits19:{mini}").fingerprint()


def test_axial_slices_lie_along_the_first_axis(mini):
    whole = load_data(f"kits19:{mini}")
    data = load_data(f"kits19:{mini}", options=ReadOptions(slices=0))
    assert len(data) == 60
    assert data.ids[7] == "case_00001/imaging.nii.gz#1"
    assert torch.equal(data.images.reshape(10, *SHAPE), whole.images[:, 0])
    assert torch.equal(data.targets.reshape(10, *SHAPE), whole.targets)
    assert data.verify().unreadable == ()
    assert [item.split for item in data.items[::6]] == [item.split for item in whole.items], "as for whole volumes"
    for start in range(0, 60, 6):
        assert len({(item.split, item.patient) for item in data.items[start : start + 6]}) == 1
    assert NAMED in data.notes
    other = load_data(f"kits19:{mini}", options=ReadOptions(slices=2))
    assert other.notes[-1] == "Slices were cut along axis 2 and are not axial: axial slices lie along axis 0."
    assert other.read(0).pixels.shape == (1, 6, 16)


def test_splits_part_cases_and_are_the_same_for_every_seed(mini):
    data = load_data(f"kits19:{mini}", seed=4)
    splits = [item.split for item in data.items]
    assert {name: splits.count(name) for name in ("train", "val", "test")} == {"train": 7, "val": 1, "test": 2}
    assert splits == [item.split for item in load_data(f"kits19:{mini}").items]
    bare = load_data(f"kits19:{mini}?split=none")
    assert {item.split for item in bare.items} == {None}
    assert not any("drawn" in note for note in bare.notes)
    assert len(load_data(f"kits19:{mini}?split=none", split="test", seed=3)) == 2


def test_a_clone_of_the_repository(mini, tmp_path):
    shutil.copytree(mini, tmp_path / "data")
    (tmp_path / "data" / "kits.json").write_text(json.dumps([{"case_id": "case_00000"}]))
    (tmp_path / "data" / "case_1").mkdir()
    (tmp_path / "README.md").touch()
    here, below = load_data(f"kits19:{mini}"), load_data(f"kits19:{tmp_path}")
    assert here.ids == below.ids
    assert here.fingerprint() == below.fingerprint()
    assert below.source.root == tmp_path / "data"


def test_cases_that_lack_a_file(mini, tmp_path):
    shutil.copytree(mini, tmp_path, dirs_exist_ok=True)
    (tmp_path / "case_00001" / "imaging.nii.gz").unlink()
    (tmp_path / "case_00002" / "segmentation.nii.gz").unlink()
    (tmp_path / "case_00003" / "imaging.nii.gz").write_bytes(b"no image")
    data = load_data(f"kits19:{tmp_path}")
    assert len(data) == 7
    found = {one.file: one.reason for one in data.unreadable}
    assert found["case_00001/imaging.nii.gz"] == found["case_00002/segmentation.nii.gz"] == "the file is missing"
    assert "format must be one of" in found["case_00003/imaging.nii.gz"]
    assert "2 cases were published without masks and were left out." in data.notes


def test_unpacked_files_and_masks_of_later_cases(tmp_path):
    voxels = numpy_stream(0, "kits").normal(0, 100, SHAPE)
    for number in (0, 250):
        folder = tmp_path / f"case_{number:05d}"
        write_case(folder, voxels, np.ones(SHAPE))
        for path in sorted(folder.iterdir()):
            nib.save(nib.load(path), path.with_suffix(""))
            path.unlink()
    data = load_data(f"kits19:{tmp_path}")
    assert data.ids == ("case_00000/imaging.nii", "case_00250/imaging.nii")
    assert data.verify().unreadable == ()
    assert not any("without masks" in note for note in data.notes)


def test_masks_that_do_not_fit(tmp_path):
    write_kits19(tmp_path, 3, 0)
    write_case(tmp_path / "case_00000", np.zeros(SHAPE), np.ones((6, 16, 12)))
    write_case(tmp_path / "case_00001", np.zeros(SHAPE), np.full(SHAPE, 3))
    data = load_data(f"kits19:{tmp_path}")
    (bad,) = data.verify().unreadable
    assert (bad.file, bad.reason) == (
        "case_00000/imaging.nii.gz",
        "the mask must have the image's size [6, 16, 16], got [6, 16, 12]",
    )
    with pytest.raises(InputError, match=r"0..2 \(background, kidney, tumour\), got 3"):
        _ = replace(data, items=data.items[1:]).targets


def test_what_lacks_is_named_with_what_was_found(tmp_path):
    with pytest.raises(InputError, match=r"kits19 must have cases such as case_00000 with imaging.nii.gz and segm"):
        load_data(f"kits19:{tmp_path}")
    write_kits19(tmp_path, 0, 1)
    with pytest.raises(InputError, match=r"in .+ or .+data, and none has both; found case_00210"):
        load_data(f"kits19:{tmp_path}")
    with pytest.raises(InputError, match=r"option split of kits19 must be one of drawn, none; got 'fiba'"):
        load_data(f"kits19:{tmp_path}?split=fiba")
