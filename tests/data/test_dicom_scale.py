"""What [0, 1] means for a DICOM image, against pydicom's own chain."""

import csv

import numpy as np
import pydicom
import pytest
from dicom_builder import make_dicom, make_lut
from pydicom.pixels import apply_modality_lut, apply_voi, apply_windowing

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.dicom import Dicom
from aseptic.data.dicom_values import sealed
from aseptic.data.window import Window, parse_window

READ = Dicom().read
GREY = np.arange(-300, 300, dtype=np.int16).reshape(20, 30)


def _oracle(path):
    """Return pydicom's modality transform and window of the first frame, brought to [0, 1]."""
    with sealed("oracle"):
        data = pydicom.dcmread(path, force=True)
        values = data.pixel_array
        values = values[0] if values.ndim == 3 else values
        lowest = -(2 ** (data.BitsStored - 1)) if data.PixelRepresentation else 0
        ends = np.array([lowest, lowest + 2**data.BitsStored - 1])
        if data.get("ModalityLUTSequence"):
            low, high = 0, 2 ** data.ModalityLUTSequence[0].LUTDescriptor[2] - 1
        else:
            low, high = apply_modality_lut(ends, data)
        unit = (apply_windowing(apply_modality_lut(values, data), data) - low) / (high - low)
    return 1 - unit if data.PhotometricInterpretation == "MONOCHROME1" else unit


def test_windows_of_real_files_are_those_of_pydicom(real):
    folder, seen = real("dicom_mixed"), 0
    with (folder / "manifest.csv").open(newline="") as file:
        files = [row["file"] for row in csv.DictReader(file) if row["pixels"] == "ok" and row["pi"].startswith("MONO")]
    for name in files[::2]:
        with sealed("oracle"):
            data = pydicom.dcmread(folder / name, force=True, stop_before_pixels=True)
            width = data.get("WindowWidth")
        if width is None or (not isinstance(width, pydicom.multival.MultiValue) and width < 1):
            continue
        found = READ(folder / name, None, ReadOptions()).pixels[0].numpy()
        np.testing.assert_allclose(found, _oracle(folder / name), atol=1e-6, err_msg=name)
        seen += 1
    assert seen >= 15


@pytest.mark.parametrize("photometric", ["MONOCHROME1", "MONOCHROME2"])
@pytest.mark.parametrize("function", [None, "LINEAR", "LINEAR_EXACT", "SIGMOID"])
@pytest.mark.parametrize(("slope", "intercept"), [(None, None), (2.5, -100), (0.25, 7)])
@pytest.mark.parametrize("window", [(40, 400), (0, 1), (-50.5, 33.25)])
def test_every_window_function_is_that_of_pydicom(tmp_path, photometric, function, slope, intercept, window):  # noqa: PLR0913, PLR0917
    path = make_dicom(
        tmp_path / "a.dcm",
        GREY,
        bits=12,
        signed=True,
        photometric=photometric,
        slope=slope,
        intercept=intercept,
        window=window,
        function=function,
    )
    found = READ(path, None, ReadOptions()).pixels[0].numpy()
    np.testing.assert_allclose(found, _oracle(path), atol=1e-6)


@pytest.mark.parametrize("packed", [False, True])
def test_lookup_tables_are_those_of_pydicom(tmp_path, packed):
    modality = make_lut(-200, np.arange(400) ** 2 // 8, packed=packed)
    voi = make_lut(100, np.sqrt(np.arange(9000) * 700).astype(int), bits=12, packed=packed)
    pixels = GREY
    path = make_dicom(
        tmp_path / "a.dcm", pixels, signed=True, extra={"ModalityLUTSequence": [modality], "VOILUTSequence": [voi]}
    )
    with sealed("oracle"):
        data = pydicom.dcmread(path)
        expected = apply_voi(apply_modality_lut(data.pixel_array, data), data) / 4095
    image = READ(path, None, ReadOptions())
    np.testing.assert_allclose(image.pixels[0].numpy(), expected, atol=1e-6)
    assert image.scale.how == "modality LUT of 400 entries, VOI LUT of 9000 entries"


def test_automatic_range_without_a_window(tmp_path):
    deep = make_dicom(tmp_path / "deep.dcm", GREY, signed=True, slope=2, intercept=1)
    image = READ(deep, None, ReadOptions())
    assert (image.scale.low, image.scale.high, image.scale.unit) == (-599, 599, "HU")
    assert image.scale.step == pytest.approx(1 / 599, rel=1e-4)
    np.testing.assert_allclose(image.pixels[0].numpy(), (GREY + 300) / 599, atol=1e-6)
    shallow = make_dicom(tmp_path / "shallow.dcm", np.full((4, 4), 51, np.uint8))
    image = READ(shallow, None, ReadOptions())
    assert image.pixels.unique().tolist() == [pytest.approx(0.2)]
    assert "full stored range of 8 bits" in image.scale.how


def test_the_range_is_that_of_all_frames_without_padding(tmp_path):
    frames = np.stack([np.full((4, 4), 100), np.full((4, 4), 300)]).astype(np.uint16)
    frames[:, 0, 0] = 9999
    path = make_dicom(tmp_path / "a.dcm", frames, extra={"PixelPaddingValue": 9999})
    first, second = (READ(path, frame, ReadOptions()) for frame in (0, 1))
    assert (first.scale.low, first.scale.high) == (100, 300)
    assert (first.pixels[0, 1, 1], second.pixels[0, 1, 1], first.pixels[0, 0, 0]) == (0, 1, 1)


def test_windows_that_are_asked_for(tmp_path):
    path = make_dicom(tmp_path / "a.dcm", GREY, bits=12, signed=True, window=(0, 10))
    asked = READ(path, None, ReadOptions(window="50/200"))
    np.testing.assert_allclose(asked.pixels[0].numpy(), np.clip((GREY + 50) / 200, 0, 1), atol=1e-6)
    full = READ(path, None, ReadOptions(window="full"))
    np.testing.assert_allclose(full.pixels[0].numpy(), (GREY + 2048) / 4095, atol=1e-6)


@pytest.mark.parametrize("window", ["", "40", "40/0", "40/-1", "a/b", "nan/3", "1/2/3"])
def test_refuses_a_window_that_is_none(window):
    with pytest.raises(InputError, match=r"window must be auto, full or CENTRE/WIDTH with a positive width, got "):
        parse_window(window)


@pytest.mark.parametrize("shape", ["linear", "sigmoid"])
def test_a_window_is_undone(shape):
    window, values = Window(low=-20.0, high=60.0, shape=shape), np.linspace(-19, 59, 50)
    np.testing.assert_allclose(window.values(window.unit(values)), values, atol=1e-6)


@pytest.mark.parametrize(
    ("extra", "how"),
    [
        ({"WindowCenter": 5, "WindowWidth": -2}, "no rescale, window of width -2 ignored, smallest to largest"),
        ({"WindowCenter": 5, "WindowWidth": 0.5}, "window 5/0.5 (linear, of fractions: read as linear exact)"),
        ({"WindowCenter": 5, "WindowWidth": 9, "VOILUTFunction": "CURVE"}, "function not known, read as linear"),
        ({"RescaleSlope": 0, "RescaleIntercept": 3}, "no rescale"),
    ],
)
def test_bad_values_of_the_header_are_tolerated_and_told(tmp_path, extra, how):
    path = make_dicom(tmp_path / "a.dcm", GREY, signed=True, extra=extra)
    assert how in READ(path, None, ReadOptions()).scale.how
