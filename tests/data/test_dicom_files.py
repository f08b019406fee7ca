"""Every file of the mixed collection is read, or refused with one reason that quotes nothing from it."""

import csv
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pydicom
import pytest
import torch
from dicom_builder import make_dicom

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.dicom import Dicom
from aseptic.data.dicom_header import open_header
from aseptic.data.dicom_pixels import stored_values
from aseptic.data.dicom_values import sealed

REFUSED = {
    "dicomParser__wave_dfl": r"holds no image: it has no pixel data \(Hemodynamic Waveform Storage\)",
    "fo-dicom__GH1146": "holds no image: its pixel data are empty",
    "fo-dicom__GH177_D_CLUNIE_CT1_IVRLE_BigEndian_undefined_length": r"the DICOM header cannot be parsed \(OSError\)",
    "fo-dicom__GH220": "holds no image: it has no pixel data",
    "fo-dicom__Issue1097_FailToOpenDeflatedFileWithSQ": "holds no image: it has no pixel data",
    "fo-dicom__chrJapMulti": "holds no image: it says how large its pixel data are, and has none",
    "fo-dicom__chrJapMultiExplicitIR6": "holds no image: it says how large its pixel data are, and has none",
    "fo-dicom__chrKoreanMulti": "holds no image: it says how large its pixel data are, and has none",
    "fo-dicom__chrSQEncoding1": r"holds no image: it has no pixel data \(MR Image Storage\)",
    "pydicom__DICOMDIR-bigEnd": "holds no image: it is a DICOMDIR, an index of other files",
    "pydicom__ExplVR_BigEndNoMeta": r"holds no image: it has no pixel data \(RT Ion Plan Storage\)",
    "pydicom__ExplVR_LitEndNoMeta": r"holds no image: it has no pixel data \(RT Ion Plan Storage\)",
    "pydicom__JPEG2000-embedded-sequence-delimiter": "the pixel data cannot be decoded from JPEG 2000",
    "pydicom__MR_truncated": "the pixel data end early: 8130 of 8192 bytes",
    "pydicom__UN_sequence": r"holds no image: it has no pixel data \(CT Image Storage\)",
    "pydicom__meta_missing_tsyntax": "Rows and Columns must be at least 1, got 0 and 0",
    "pydicom__reportsi": r"holds no image: it has no pixel data \(Basic Text SR Storage\)",
    "pydicom__reportsi_with_empty_number_tags": r"holds no image: it has no pixel data \(Basic Text SR Storage\)",
    "pydicom__test-SR": r"holds no image: it has no pixel data \(Comprehensive SR Storage\)",
}
"""Everything else must be read: 129 that pydicom reads, and 10 that it does not."""
FILES, READ = 158, 139


@pytest.fixture(scope="module")
def rows(real):
    with (real("dicom_mixed") / "manifest.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def _name(row):
    return row["file"].removeprefix("files/").removesuffix(".dcm")


def _shape(row):
    shape = [int(size) for size in row["shape"].split("x")]
    frames = shape.pop(0) if int(row["frames"] or 1) > 1 else 1
    return frames, (3 if row["pi"] == "PALETTE COLOR" or shape[2:] else 1, *shape[:2])


def _read(form, path):
    frames = form.probe(path, ReadOptions())
    return frames, [form.read(path, frame.index, ReadOptions()) for frame in frames]


def test_every_file_is_read_or_refused_with_its_reason(real, rows):
    folder, form, read = real("dicom_mixed"), Dicom(), 0
    assert len(rows) == FILES
    assert set(REFUSED) <= {_name(row) for row in rows}
    for row in rows:
        path, name = folder / row["file"], _name(row)
        assert form.claims(path), name
        if name in REFUSED:
            with pytest.raises(InputError, match=f"^{REFUSED[name]}"):
                _read(form, path)
            continue
        read += 1
        frames, images = _read(form, path)
        for frame, image in zip(frames, images, strict=True):
            assert image.pixels.dtype == torch.float32
            assert tuple(image.pixels.shape) == frame.shape
            assert image.pixels.min() >= 0
            assert image.pixels.max() <= 1
        if row["pixels"] == "ok":
            assert (len(frames), frames[0].shape) == _shape(row), name
    assert read == READ


def test_stored_values_are_those_of_pydicom(real, rows):
    folder = real("dicom_mixed")
    kept = [row for row in rows if row["pixels"] == "ok" and row["pi"] in {"MONOCHROME1", "MONOCHROME2", "RGB"}]
    assert len(kept) > 100
    for row in kept[::4]:
        path = folder / row["file"]
        header = open_header(path)
        with sealed("oracle"):
            expected = pydicom.dcmread(path, force=True).pixel_array
        expected = expected if header.frames > 1 else expected[None]
        for frame, values in enumerate(expected):
            np.testing.assert_array_equal(stored_values(header, frame), values, err_msg=row["file"])


@pytest.mark.parametrize(
    ("file", "reference", "tolerance"),
    [
        ("pydicom__JPEG-lossy", "pydicom__JPGExtended", 1),  # another decoder, another rounding
        ("pydicom-data__liver_rle", "pydicom-data__liver", 0),
        ("pydicom-data__liver_nonbyte_aligned_rle", "pydicom-data__liver_nonbyte_aligned", 0),
        ("pydicom-data__liver_deflate", "pydicom-data__liver", 0),
        ("pydicom-data__liver_nonbyte_aligned_deflate", "pydicom-data__liver_nonbyte_aligned", 0),
        ("pydicom-data__OBXXXX1A_expb", "pydicom-data__OBXXXX1A_rle", 0),
    ],
)
def test_what_pydicom_cannot_decode_is_its_uncompressed_twin(real, file, reference, tolerance):
    folder = real("dicom_mixed") / "files"
    ours, twin = open_header(folder / f"{file}.dcm"), open_header(folder / f"{reference}.dcm")
    for frame in range(ours.frames):
        found = stored_values(ours, frame).astype(int)
        assert abs(found - stored_values(twin, frame).astype(int)).max() <= tolerance
        assert found.any()


def test_palettes_are_those_of_pydicom(real):
    path = real("dicom_mixed") / "files" / "pydicom__examples_palette.dcm"
    data = pydicom.dcmread(path)
    expected = pydicom.pixels.apply_color_lut(data.pixel_array, data)
    np.testing.assert_array_equal(stored_values(open_header(path), 0), expected)


def test_spacing_comes_from_functional_groups_too(real):
    folder = real("dicom_mixed") / "files"
    enhanced = Dicom().read(folder / "dicomParser__CT0012.not_fragmented_bot_rle.dcm", 1, ReadOptions())
    assert enhanced.spacing == (0.388672, 0.388672)
    assert enhanced.scale.how == "rescale 1*x-1024, window 49/102 (linear)"
    assert Dicom().read(folder / "fo-dicom__chrGreek.dcm", None, ReadOptions()).spacing is None


def test_threads_read_files_with_bad_headers_without_a_warning(tmp_path):
    pixels = np.arange(64, dtype=np.uint16).reshape(8, 8)
    path = make_dicom(tmp_path / "a.dcm", pixels, extra={"NumberOfFrames": 1})
    # a decimal that is none, which pydicom warns of
    path.write_bytes(path.read_bytes().replace(b"\x18\x00\x50\x00DS\x02\x002 ", b"\x18\x00\x50\x00DS\x02\x00x "))
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda _: Dicom().read(path, None, ReadOptions()), range(64)))
    assert all(torch.equal(image.pixels, images[0].pixels) for image in images)
