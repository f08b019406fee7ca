"""What all sources share: splits, samples, limits on bad files, messages."""

import pytest
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from aseptic.core.errors import InputError
from aseptic.data.load import load_data
from aseptic.data.pseudonyms import pseudonym


@pytest.fixture
def folder(tmp_path, draw):
    """Twenty images of ten patients, two classes."""
    lines = ["file,label,patient_id"]
    for i in range(20):
        draw(f"{i:02d}.png")
        lines.append(f"{i:02d}.png,{'xy'[i % 4 // 2]},{i // 2}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    return tmp_path


def test_random_splits_are_made_when_one_is_asked_for(folder):
    assert {item.split for item in load_data(folder).items} == {None}
    parts = {name: load_data(folder, split=name, seed=3) for name in ("train", "val", "test")}
    assert sorted(one for part in parts.values() for one in part.ids) == [f"{i:02d}.png" for i in range(20)]
    patients = [set(part.patients) for part in parts.values()]
    assert not patients[0] & patients[1] | patients[0] & patients[2] | patients[1] & patients[2]
    assert "The splits were drawn at random with seed 3; no patient is in two of them." in parts["val"].notes
    assert load_data(folder, split="test", seed=3).ids == parts["test"].ids
    half = load_data(folder, split="test", val_share=0.0, test_share=0.5)
    assert len(half) == 10


def test_splits_without_patients_say_so(tmp_path, draw):
    for i in range(10):
        draw(f"{i}.png")
    data = load_data(tmp_path, split="train")
    assert "The splits were drawn at random with seed 0; by image." in data.notes


def test_a_sample(folder):
    data = load_data(folder, limit=6, seed=1)
    assert data.targets.sum() == 3
    assert data.ids == load_data(folder, limit=6, seed=1).ids
    assert data.ids != load_data(folder, limit=6, seed=2).ids
    assert len(load_data(folder, limit=100)) == 20


def test_too_many_bad_files(folder):
    for i in (3, 4):
        (folder / f"{i:02d}.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    assert len(load_data(folder, max_bad=2)) == 18
    with pytest.raises(
        InputError, match=r"max_bad allows 1 unreadable files, got 2: 03.png: cannot be decoded.+; 04.png"
    ):
        load_data(folder, max_bad=1)


def test_the_name_is_that_of_the_folder(folder, monkeypatch):
    assert load_data(folder).name == folder.name
    monkeypatch.chdir(folder)
    assert load_data(".").name == folder.name
    assert load_data("labels.csv").name == folder.name


def write_dicom(path, patient):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.PatientID = patient
    data.Rows = data.Columns = 4
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 8, 8, 7
    data.PixelData = bytes(range(16))
    path.parent.mkdir(exist_ok=True)
    data.save_as(path, enforce_file_format=True)


def test_dicom_patients_and_files_are_pseudonyms(tmp_path):
    for i, patient in enumerate(["DOE1", "DOE1", "ROE2"]):
        write_dicom(tmp_path / f"study{i}" / "DOE^JOHN.1974", patient)
    data = load_data(tmp_path)
    assert data.ids[0] == f"dcm-{pseudonym('file', 'study0/DOE^JOHN.1974')}"
    assert data.patients == tuple(pseudonym("patient", one) for one in ("DOE1", "DOE1", "ROE2"))
    path = data.write(0, data.read(0).pixels, tmp_path / "out", "copied")
    assert path == tmp_path / "out" / f"{data.ids[0]}.dcm"
    (tmp_path / "study0" / "DOE^JOHN.1974").write_bytes(b"gone")
    with pytest.raises(InputError, match=data.ids[0]) as caught:
        data.read(0)
    assert "DOE" not in str(caught.value)


def test_dicom_class_folders_need_a_word(tmp_path):
    for i, name in enumerate(("ill", "well")):
        (tmp_path / name).mkdir()
        write_dicom(tmp_path / name / f"{i}.dcm", "ANONYMOUS")
    data = load_data(tmp_path)
    assert (data.task, data.patients) == (None, (None, None)), "one identifier for all is none"
    assert load_data(tmp_path, task="multiclass").targets.tolist() == [0, 1]
    assert load_data(tmp_path, classes=["well", "ill"]).targets.tolist() == [1, 0]


def test_a_phantom_is_a_data_set_like_any_other():
    data = load_data("phantom:cxr3?n=12&size=32", limit=5)
    assert len(data) == 5
    with pytest.raises(InputError, match=r"task must be multiclass for phantom:cxr3, got 'detection'"):
        load_data("phantom:cxr3?n=12&size=32", task="detection")
    with pytest.raises(InputError, match=r"classes must be .+ for phantom:cxr3, got a, b"):
        load_data("phantom:cxr3?n=12&size=32", classes=["a", "b"])


def test_messages(tmp_path):
    with pytest.raises(
        InputError,
        match=r"data must be a folder, csv, json, npz or image that exists, phantom:NAME or COLLECTION:PATH; got",
    ):
        load_data(tmp_path / "none")
    with pytest.raises(InputError, match=r"task must be one of .+; got 'multi-class', did you mean 'multiclass'\?"):
        load_data(tmp_path, task="multi-class")
    for name in ("a.npz", "b.npz"):
        (tmp_path / name).touch()
    with pytest.raises(InputError, match=r"must hold one npz, got a.npz, b.npz; give the file"):
        load_data(tmp_path)
