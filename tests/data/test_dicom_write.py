"""Attacked images written as new DICOM instances: the same pixels, another identity, and no old claims."""

import re

import numpy as np
import pydicom
import pytest
import torch
from dicom_builder import make_dicom, make_lut
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.uid import UID, ExplicitVRLittleEndian

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import ReadOptions
from aseptic.data.dicom import Dicom
from aseptic.data.dicom_header import open_header
from aseptic.data.dicom_pixels import stored_values

FORM, AUTO = Dicom(), ReadOptions()
ROUNDING = 3e-7  # a few float32 roundings
REAL = (
    ("dicomParser__CT0012.not_fragmented_bot_rle", 1),  # enhanced, two frames
    ("dicom-test-files__RG3_JPLY", None),  # MONOCHROME1, 12-bit lossy
    ("pydicom-data__liver_expb", 2),  # one bit, big endian, enhanced
    ("pydicom-data__OBXXXX1A_rle_2frame", 1),  # palette, classic multi-frame
    ("pydicom-data__SC_rgb_expb_16bit", None),
    ("pydicom-data__SC_rgb_32bit_2frame", 0),
    ("pydicom__SC_rgb_dcmtk__eb_cy_s2", None),  # sub-sampled YBR
    ("pydicom-data__parametric_map_double_float", None),
    ("pydicom__MR_small_bigendian", None),
    ("fo-dicom__RI6XDosiGap", None),
    ("fo-dicom__GH610", None),  # PET, implicit tags of old devices
    ("pydicom-data__JLSN_RGB_ILV0", None),  # without a preamble
)


def _disturb(pixels, seed=0):
    """Return the pixels with half of them moved, inside the range that the image can hold, and where."""
    moved = torch.rand(pixels.shape, generator=stream(seed, "where")) < 0.5
    noise = (torch.rand(pixels.shape, generator=stream(seed, "noise")) - 0.5) / 4
    changed = (pixels + noise).clamp(pixels.min().item(), pixels.max().item())
    return torch.where(moved, changed, pixels), moved


def _round_trip(source, target, frame=None, options=AUTO):
    """Write a disturbed image, check pixels and stored values, and return the new instance."""
    image = FORM.read(source, frame, options)
    wanted, moved = _disturb(image.pixels)
    path = FORM.write(wanted, target, source=source, frame=frame, options=options, note="pgd, eps 2/255")
    back = FORM.read(path, None, options)
    assert (back.pixels - wanted).abs().max() <= image.scale.step / 2 + ROUNDING
    assert back.spacing == image.spacing
    before, after = stored_values(open_header(source), frame or 0), stored_values(open_header(path), 0)
    still = ~(moved[0].numpy() if before.ndim == 2 else moved.movedim(0, -1).numpy())
    np.testing.assert_array_equal(after[still], before[still])
    assert after.dtype == before.dtype
    return pydicom.dcmread(path)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    bits=st.integers(8, 16),
    signed=st.booleans(),
    photometric=st.sampled_from(["MONOCHROME1", "MONOCHROME2"]),
    slope=st.sampled_from([None, 1.0, 0.1, 7.5, -2.0]),
    window=st.sampled_from([None, "LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    asked=st.sampled_from(["auto", "full", "100/900.5"]),
    seed=st.integers(0, 10_000),
)
def test_what_is_written_is_read_back(tmp_path, bits, signed, photometric, slope, window, asked, seed):  # noqa: PLR0913, PLR0917
    random = numpy_stream(seed, "pixels")
    lowest = -(2 ** (bits - 1)) if signed else 0
    pixels = random.integers(lowest, lowest + 2**bits, (9, 7)).astype(np.int16 if signed else np.uint16)
    intercept = -3.25 if slope else None
    ends = np.array([pixels.min(), pixels.max()]) * (slope or 1) + (intercept or 0)
    centre, width = float(ends.mean().round(3)), float(max(4, np.ptp(ends) / 2).__round__(3))
    source = make_dicom(
        tmp_path / "source.dcm",
        pixels,
        bits=bits,
        signed=signed,
        photometric=photometric,
        slope=slope,
        intercept=intercept,
        window=(centre, width) if window else None,
        function=window,
    )
    written = _round_trip(source, tmp_path / "target.dcm", options=ReadOptions(window=asked))
    assert (written.BitsStored, written.HighBit, written.PixelRepresentation) == (bits, bits - 1, int(signed))
    assert written.PhotometricInterpretation == photometric


@pytest.mark.parametrize(("name", "frame"), REAL, ids=[name for name, _ in REAL])
def test_real_instances_are_written_and_read_back(real, tmp_path, name, frame):
    source = real("dicom_mixed") / "files" / f"{name}.dcm"
    written = _round_trip(source, tmp_path / "target.dcm", frame)
    old = open_header(source).dataset
    assert written.file_meta.TransferSyntaxUID == ExplicitVRLittleEndian
    assert written.SOPInstanceUID != old.get("SOPInstanceUID")
    assert written.ImageType[0] == "DERIVED"
    assert written.get("NumberOfFrames", 1) == 1


def test_pixels_outside_the_window_keep_their_values(tmp_path):
    pixels = np.array([[-900, -800, 0, 900], [5, 10, 700, 800]], np.int16)
    source = make_dicom(tmp_path / "a.dcm", pixels, signed=True, window=(0, 101))
    image = FORM.read(source, None, AUTO).pixels
    image[0, 1] = torch.tensor([0.0, 1.0, 1.0, 0.505])
    path = FORM.write(image, tmp_path / "b.dcm", source=source, frame=None, options=AUTO, note="")
    # a level that several stored values share is reached by the value nearest to the old one
    assert stored_values(open_header(path), 0).tolist() == [[-900, -800, 0, 900], [-51, 50, 700, 0]]


def test_lookup_tables_are_searched_for_the_way_back(tmp_path):
    pixels = numpy_stream(0, "lut").integers(0, 200, (6, 6)).astype(np.uint16)
    luts = {"VOILUTSequence": [make_lut(0, np.arange(200)[::-1] ** 2, packed=True)]}
    source = make_dicom(tmp_path / "a.dcm", pixels, bits=12, extra=luts)
    image = FORM.read(source, None, AUTO)
    target = torch.rand(image.pixels.shape, generator=stream(1)) * image.pixels.max()
    path = FORM.write(target, tmp_path / "b.dcm", source=source, frame=None, options=AUTO, note="")
    error = (FORM.read(path, None, AUTO).pixels - target).abs().max()
    assert error <= image.scale.step / 2 + ROUNDING


def test_the_new_instance_is_new_derived_and_tells_what_it_is(tmp_path):
    extra = {
        "SmallestImagePixelValue": 0,
        "LargestImagePixelValue": 99,
        "IconImageSequence": [pydicom.Dataset()],
        "LossyImageCompression": "01",
        "LossyImageCompressionRatio": 12,
        "LossyImageCompressionMethod": "ISO_10918_1",
    }
    pixels = numpy_stream(0, "new").integers(0, 4096, (8, 8)).astype(np.uint16)
    source = make_dicom(tmp_path / "a.dcm", pixels, bits=12, extra=extra)
    data = pydicom.dcmread(source)
    data.private_block(0x0029, "VENDOR", create=True).add_new(1, "LO", "secret")
    data.add_new(0x60000010, "US", 8)  # an overlay in unused bits of the pixels
    data.save_as(source)
    old, new = pydicom.dcmread(source), _round_trip(source, tmp_path / "b.dcm")
    for keyword in ("SOPInstanceUID", "SeriesInstanceUID"):
        assert new[keyword].value != old[keyword].value
        assert UID(new[keyword].value).is_valid
    for keyword in (
        *("StudyInstanceUID", "FrameOfReferenceUID", "SOPClassUID", "PatientID", "ImagePositionPatient", "Rows"),
        *("ImageOrientationPatient", "PixelSpacing", "LossyImageCompression", "LossyImageCompressionMethod"),
    ):
        assert new[keyword].value == old[keyword].value
    assert new.file_meta.MediaStorageSOPInstanceUID == new.SOPInstanceUID
    assert list(new.ImageType) == ["DERIVED", "SECONDARY", "AXIAL"]
    assert "not for diagnosis" in new.DerivationDescription
    assert "pgd, eps 2/255" in new.DerivationDescription
    assert new.SourceImageSequence[0].ReferencedSOPInstanceUID == old.SOPInstanceUID
    assert new.DerivationCodeSequence[0].CodeValue == "113042"
    assert new.ContentDate > old.StudyDate
    assert not [element for element in new if element.tag.group % 2 or element.tag.group == 0x6000]
    for keyword in ("SmallestImagePixelValue", "LargestImagePixelValue", "IconImageSequence"):
        assert keyword not in new


def test_the_measured_range_is_written_down(tmp_path):
    source = make_dicom(tmp_path / "a.dcm", np.array([[10, 500], [20, 30]], np.uint16), bits=12)
    written = FORM.write(
        torch.full((1, 2, 2), 0.5), tmp_path / "b.dcm", source=source, frame=None, options=AUTO, note=""
    )
    data = pydicom.dcmread(written)
    assert (data.WindowCenter, data.WindowWidth, data.VOILUTFunction) == (255, 490, "LINEAR_EXACT")


def test_a_frame_of_a_classic_multi_frame_becomes_a_secondary_capture(tmp_path):
    frames = numpy_stream(0, "frames").integers(0, 999, (3, 5, 4)).astype(np.uint16)
    new = _round_trip(make_dicom(tmp_path / "a.dcm", frames), tmp_path / "b.dcm", frame=2)
    assert new.SOPClassUID.name == "Secondary Capture Image Storage"
    assert new.SourceImageSequence[0].ReferencedFrameNumber == 3
    assert not {"NumberOfFrames", "FrameIncrementPointer", "FrameTime"} & set(new.dir())


def test_a_tile_of_a_matrix_becomes_a_secondary_capture_with_its_own_scale(tmp_path):
    group, measures, transform, window = (pydicom.Dataset() for _ in range(4))
    measures.PixelSpacing = [0.25, 0.125]
    transform.RescaleSlope, transform.RescaleIntercept, transform.RescaleType = 2, -5, "OD"
    window.WindowCenter, window.WindowWidth = 900, 1500
    group.PixelMeasuresSequence, group.FrameVOILUTSequence = [measures], [window]
    group.PixelValueTransformationSequence = [transform]
    extra = {"SharedFunctionalGroupsSequence": [group], "TotalPixelMatrixRows": 10, "TotalPixelMatrixColumns": 4}
    frames = numpy_stream(0, "tiles").integers(0, 999, (2, 5, 4)).astype(np.uint16)
    source = make_dicom(tmp_path / "a.dcm", frames, extra=extra)
    new = _round_trip(source, tmp_path / "b.dcm", frame=1)
    assert FORM.read(source, 1, AUTO).spacing == (0.25, 0.125)
    assert (new.RescaleSlope, new.WindowWidth) == (2, 1500)
    assert "SharedFunctionalGroupsSequence" not in new


def test_identifiers_follow_from_source_note_and_pixels(tmp_path):
    source = make_dicom(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8))

    def identifier(level, note):
        pixels, target = torch.full((1, 4, 4), level), tmp_path / "b.dcm"
        FORM.write(pixels, target, source=source, frame=None, options=AUTO, note=note)
        return pydicom.dcmread(target).SOPInstanceUID

    assert identifier(0.5, "a") == identifier(0.5, "a")
    assert len({identifier(0.5, "a"), identifier(0.6, "a"), identifier(0.5, "b")}) == 3


def test_a_frame_of_an_enhanced_instance_stays_enhanced(real, tmp_path):
    source = real("dicom_mixed") / "files" / "dicomParser__CT0012.not_fragmented_bot_rle.dcm"
    new = _round_trip(source, tmp_path / "b.dcm", frame=1)
    assert new.SOPClassUID.name == "Enhanced CT Image Storage"
    assert len(new.PerFrameFunctionalGroupsSequence) == 1
    assert new.PerFrameFunctionalGroupsSequence[0].PlanePositionSequence[0].ImagePositionPatient[2] == -149
    assert "not for diagnosis" in (
        new.PerFrameFunctionalGroupsSequence[0].DerivationImageSequence[0].DerivationDescription
    )
    assert list(new.ImageType)[:2] == ["DERIVED", "PRIMARY"]


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        (torch.zeros(1, 4, 5), r"pixels must have the source's shape \[1, 4, 4\], got \[1, 4, 5\]"),
        (torch.full((1, 4, 4), 1.5), r"pixels must lie in \[0, 1\], got \[1.5, 1.5\]"),
    ],
)
def test_refuses_other_pixels(tmp_path, pixels, message):
    source = make_dicom(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match=message):
        FORM.write(pixels, tmp_path / "b.dcm", source=source, frame=None, options=AUTO, note="")


def test_refuses_to_overwrite_its_source(tmp_path):
    source = make_dicom(tmp_path / "a.dcm", np.zeros((4, 4), np.uint8))
    with pytest.raises(InputError, match="the target must not be the source itself"):
        FORM.write(torch.zeros(1, 4, 4), source, source=source, frame=None, options=AUTO, note="")


@pytest.mark.parametrize("frame", [None, -1, 3])
def test_refuses_a_frame_that_is_not_there(tmp_path, frame):
    source = make_dicom(tmp_path / "a.dcm", np.zeros((3, 4, 4), np.uint16))
    with pytest.raises(InputError, match=f"frame must be one of 0 to 2, got {frame}"):
        FORM.read(source, frame, AUTO)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"Rows": 60000, "Columns": 60000}, "an image must have at most 268435456 samples a frame"),
        ({"NumberOfFrames": 2**31 - 1}, "an image must have at most .*, the header says 2147483647 x 64"),
        ({"Rows": 0}, "Rows and Columns must be at least 1, got 0 and 8"),
        ({"Rows": 9}, "the pixel data end early: 128 of 144 bytes"),
        ({"HighBit": 15, "BitsStored": 12}, "High Bit must be Bits Stored - 1, that is 11, got 15"),
        ({"PhotometricInterpretation": "DOE_JANE"}, "the photometric interpretation must be one of MONOCHROME1, "),
        ({"BitsAllocated": 12}, "the pixel data cannot be decoded from Explicit VR Little Endian"),
        ({"PixelData": None}, "holds no image: it says how large its pixel data are, and has none"),
    ],
)
def test_hostile_headers_are_refused_without_quoting_identifiers(tmp_path, extra, message):
    source = make_dicom(tmp_path / "DOE_12345.dcm", np.zeros((8, 8), np.uint16), extra=extra)
    with pytest.raises(InputError, match=message) as caught:
        FORM.read(source, None, AUTO)
    assert not re.search("DOE|JANE|12345", str(caught.value))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_files_are_read_or_refused_and_nothing_else(tmp_path, data):
    whole = make_dicom(
        tmp_path / "a.dcm", numpy_stream(0, "bad").integers(0, 99, (8, 8)).astype(np.uint16)
    ).read_bytes()
    damaged = bytearray(whole[: data.draw(st.integers(140, len(whole)))])
    for _ in range(data.draw(st.integers(0, 8))):
        damaged[data.draw(st.integers(132, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    path = tmp_path / "damaged.dcm"
    path.write_bytes(damaged)
    said = ""
    try:
        frames = FORM.probe(path, AUTO)
        images = [FORM.read(path, frame.index, AUTO) for frame in frames[:2]]
    except InputError as error:
        said, images = str(error), []
    assert not re.search("DOE|JANE|12345", said)
    assert all(image.pixels.isfinite().all() for image in images)


def test_claims_by_the_first_bytes(tmp_path):
    path = tmp_path / "file"
    for content, expected in (
        (b"\0" * 128 + b"DICM", True),
        (b"\x08\x00\x05\x00CS\x0a\x00ISO_IR 100", True),
        (b"\x08\x00\x08\x00\x16\x00\x00\x00ORIGINAL", True),
        (b"\x00\x08\x00\x05CS\x00\x0aISO_IR 100", True),
        (b"\x89PNG\r\n\x1a\n" + b"\0" * 200, False),
        (b"\x5c\x01\x00\x00" + b"\0" * 400, False),
        (b"file,label\na.png,1\n", False),
        (b"", False),
    ):
        path.write_bytes(content)
        assert FORM.claims(path) is expected, content
