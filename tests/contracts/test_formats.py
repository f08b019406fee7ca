"""Laws of every registered file format: what is written is read back, and nothing else is touched."""

import nibabel as nib
import numpy as np
import pytest
import torch
from PIL import Image
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import ReadOptions
from aseptic.data.formats import FORMATS, find_format, get_format

OPTIONS = ReadOptions()
SHAPE = (12, 10)


def draw(high, shape=SHAPE, dtype=np.uint16):
    return numpy_stream(0, high).integers(0, high, shape, endpoint=True).astype(dtype)


def write_raster(path, high, shape):
    Image.fromarray(draw(high, shape, np.uint8 if high == 255 else np.uint16)).save(path)
    return path


def write_dicom(path):
    data = Dataset()
    data.file_meta = FileMetaDataset()
    data.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    data.SOPClassUID = data.file_meta.MediaStorageSOPClassUID = CTImageStorage
    data.SOPInstanceUID = data.file_meta.MediaStorageSOPInstanceUID = generate_uid()
    data.StudyInstanceUID, data.SeriesInstanceUID = generate_uid(), generate_uid()
    data.PatientID, data.PatientName, data.Modality = "1", "DOE^JOHN", "CT"
    data.StudyDate = "20200101"
    data.ImageType = ["ORIGINAL", "PRIMARY", "AXIAL"]
    data.Rows, data.Columns = SHAPE
    data.SamplesPerPixel, data.PhotometricInterpretation, data.PixelRepresentation = 1, "MONOCHROME2", 0
    data.BitsAllocated, data.BitsStored, data.HighBit = 16, 12, 11
    data.RescaleSlope, data.RescaleIntercept = 1, -1024
    data.PixelData = draw(4095).tobytes()
    data.save_as(path, enforce_file_format=True)
    return path


def write_nifti(path):
    nib.save(nib.Nifti1Image(draw(900, (7, 6, 5), np.int16), np.diag([2.0, 1.0, 3.0, 1.0])), path)
    return path


CASES = {
    "raster 8": ("raster", lambda folder: write_raster(folder / "a.png", 255, SHAPE)),
    "raster 16": ("raster", lambda folder: write_raster(folder / "a.tif", 65535, SHAPE)),
    "raster colour": ("raster", lambda folder: write_raster(folder / "a.bmp", 255, (*SHAPE, 3))),
    "dicom": ("dicom", lambda folder: write_dicom(folder / "a.dcm")),
    "nifti": ("nifti", lambda folder: write_nifti(folder / "a.nii.gz")),
}


def test_every_format_has_a_case():
    assert {name for name, _ in CASES.values()} == set(FORMATS.table)


@pytest.fixture(params=sorted(CASES))
def case(request, tmp_path):
    name, make = CASES[request.param]
    return get_format(name), make(tmp_path)


def test_the_bytes_decide_whose_file_it_is(case, tmp_path):
    form, path = case
    assert find_format(path) is form
    assert [name for name in FORMATS.table if get_format(name).claims(path)] == [form.name]
    nameless = tmp_path / "nameless"
    path.rename(nameless)
    assert find_format(nameless) is form


def test_the_header_says_what_is_read(case):
    form, path = case
    (frame,) = form.probe(path, OPTIONS)
    loaded = form.read(path, frame.index, OPTIONS)
    assert tuple(loaded.pixels.shape) == frame.shape
    assert loaded.pixels.dtype == torch.float32
    assert loaded.pixels.min() >= 0
    assert loaded.pixels.max() <= 1
    assert torch.equal(form.read(path, frame.index, OPTIONS).pixels, loaded.pixels)


def test_what_is_written_is_read_back_to_half_a_level(case, tmp_path):
    form, path = case
    before, loaded = file_sha256(path), form.read(path, None, OPTIONS)
    noise = 0.02 * torch.randn(loaded.pixels.shape, generator=stream(0))
    pixels = (loaded.pixels + noise).clamp(0, 1)
    kept = pixels.clone()
    target = tmp_path / "out" / path.name
    target.parent.mkdir()
    written = form.write(pixels, target, source=path, frame=None, options=OPTIONS, note="shaken")
    assert [one.name for one in target.parent.iterdir()] == [written.name], "one file, where it says"
    again = form.read(written, None, OPTIONS)
    assert (again.pixels - pixels).abs().max() <= 0.5 * loaded.scale.step + 1e-6
    assert again.scale.bits == loaded.scale.bits, "the depth is the source's"
    assert file_sha256(path) == before, "the source is not touched"
    assert torch.equal(pixels, kept), "the caller's pixels are not written to"


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan")])
def test_pixels_outside_the_range_are_refused(case, tmp_path, value):
    form, path = case
    pixels = form.read(path, None, OPTIONS).pixels.clone()
    pixels[(0,) * pixels.ndim] = value
    with pytest.raises(InputError, match=r"\[0, 1\]"):
        form.write(pixels, tmp_path / "out", source=path, frame=None, options=OPTIONS, note="")


def test_another_shape_is_refused(case, tmp_path):
    form, path = case
    pixels = form.read(path, None, OPTIONS).pixels[..., 1:]
    with pytest.raises(InputError, match="shape"):
        form.write(pixels, tmp_path / "out", source=path, frame=None, options=OPTIONS, note="")


@pytest.mark.parametrize("name", FORMATS.names())
@pytest.mark.parametrize(
    "content", [b"\0" * length for length in (1, 3, 7, 21, 131, 347)] + [b"\x1f\x8b", b"\xff" * 400]
)
def test_no_format_claims_or_trips_over_scraps(name, content, tmp_path):
    path = tmp_path / "DOE^JOHN"
    path.write_bytes(content)
    assert get_format(name).claims(path) is False


@pytest.mark.parametrize("keep", [0.1, 0.4, 0.7])
def test_a_file_cut_off_says_so_without_its_name(case, tmp_path, keep):
    form, path = case
    whole = path.read_bytes()
    cut = tmp_path / "DOE^JOHN"
    cut.write_bytes(whole[: int(keep * len(whole))])
    with pytest.raises(InputError) as caught:
        find_format(cut).read(cut, form.probe(cut, OPTIONS)[0].index, OPTIONS)
    assert "DOE" not in str(caught.value)


def test_a_file_of_no_format(tmp_path):
    (tmp_path / "a.png").write_text("a letter, not a picture")
    with pytest.raises(
        InputError, match=r"format must be one of dicom, nifti, raster; the file begins with b'a letter'"
    ):
        find_format(tmp_path / "a.png")
    (tmp_path / "b.png").touch()
    with pytest.raises(InputError, match="the file is empty"):
        find_format(tmp_path / "b.png")
    with pytest.raises(InputError, match="cannot be opened: No such file or directory"):
        find_format(tmp_path / "c.png")
