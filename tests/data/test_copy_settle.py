"""Copies are the image itself, and settled pixels are what writing and reading back would give, in every format."""

import nibabel as nib
import numpy as np
import pytest
import torch
from dicom_builder import make_dicom, make_lut
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import Item, ReadOptions
from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.data.memory import memory_set
from aseptic.data.sources import COPIED, DERIVED, FileSource

SHAPE = (9, 7)


def drawn(dtype, shape=SHAPE):
    info = np.iinfo(dtype)
    return numpy_stream(3, "copies").integers(info.min, info.max, shape, dtype=dtype, endpoint=True)


def picture(mode):
    def write(folder):
        if mode == "I;16":
            Image.fromarray(drawn(np.uint16)).save(folder / "a.png")
        elif mode == "1":
            Image.fromarray(drawn(np.uint8) > 100).save(folder / "a.png")
        else:
            shape = SHAPE if mode in {"L", "P"} else (*SHAPE, len(mode))
            image = Image.fromarray(drawn(np.uint8, shape))
            (image.convert("P") if mode == "P" else image).save(folder / ("a.jpg" if mode == "RGB" else "a.png"))

    return write


def dicom(**settings):
    def write(folder):
        dtype, colour = settings.get("dtype", np.uint16), settings.get("photometric") == "RGB"
        levels = drawn(dtype, (*SHAPE, 3) if colour else SHAPE)
        if bits := settings.get("bits"):
            levels = (levels % 2**bits).astype(dtype)
        make_dicom(folder / "a.dcm", levels, **{k: v for k, v in settings.items() if k != "dtype"})

    return write


def volume(dtype, *, slope=None, shape=(5, 4, 3)):
    def write(folder):
        data = drawn(dtype, shape) if np.issubdtype(dtype, np.integer) else numpy_stream(4, "v").random(shape, dtype)
        image = nib.Nifti1Image(data, np.eye(4))
        if slope is not None:
            image.header.set_slope_inter(slope, -7.0)
        nib.save(image, folder / "a.nii.gz")

    return write


FILES = {
    "grey": picture("L"),
    "grey of 16 bits": picture("I;16"),
    "black and white": picture("1"),
    "palette": picture("P"),
    "jpeg": picture("RGB"),
    "colour with alpha": picture("RGBA"),
    "dicom": dicom(bits=12),
    "dicom, signed, rescaled": dicom(dtype=np.int16, signed=True, slope=2.5, intercept=-1024),
    "dicom, narrow window": dicom(bits=12, window=(700, 300)),
    "dicom, sigmoid window": dicom(bits=12, window=(2000, 900), function="SIGMOID"),
    "dicom, bright is low": dicom(bits=10, photometric="MONOCHROME1"),
    "dicom, lookup table": dicom(
        dtype=np.uint8, extra={"VOILUTSequence": [make_lut(0, [k * k for k in range(255)] + [65535])]}
    ),
    "dicom, colour": dicom(dtype=np.uint8, photometric="RGB"),
    "volume": volume(np.int16),
    "volume, scaled": volume(np.uint8, slope=0.25),
    "volume of floats": volume(np.float32),
}


def the_file(folder):
    (path,) = (one for one in folder.iterdir() if one.is_file())
    source = FileSource(root=folder)
    return ImageSet(name="one", task=None, classes=(), items=(Item(id=path.name, path=path),), source=source)


@pytest.mark.parametrize("kind", FILES)
def test_settled_pixels_are_those_that_are_read_back(tmp_path, kind):
    FILES[kind](tmp_path)
    data = the_file(tmp_path)
    (item,), seen = data.items, data.read(0).pixels
    pixels = torch.rand(seen.shape, generator=stream(5, kind))
    settled = data.source.settle(item, pixels)
    assert settled.shape == seen.shape
    again = data.reread(0, data.write(0, pixels, tmp_path / "out", "drawn")).pixels
    assert torch.equal(settled, again), "what a poisoned set shows in memory is what it is on disk"
    assert torch.equal(data.source.settle(item, settled), settled), "levels stay where they are"
    assert torch.equal(data.source.settle(item, seen), seen), "the image is on its own levels"
    step = data.read(0).scale.step
    if "window" not in kind and "lookup" not in kind:
        assert (settled - pixels).abs().max() <= step / 2 + 1e-6


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_holds_one_image_keeps_its_bytes(tmp_path, kind):
    FILES[kind](tmp_path)
    data = the_file(tmp_path)
    (path,) = (one for one in tmp_path.iterdir() if one.is_file())
    copied = data.copy(0, tmp_path / "out" / "deep")
    assert copied == tmp_path / "out" / "deep" / path.name
    assert copied.read_bytes() == path.read_bytes()
    assert torch.equal(data.reread(0, copied).pixels, data.read(0).pixels)


def test_sub_folders_are_kept_and_nothing_leaves_the_folder(tmp_path):
    (tmp_path / "in").mkdir()
    picture("L")(tmp_path / "in")
    path = tmp_path / "in" / "a.png"
    names = ("below/one.png", "../../one.png", "/etc/one.png")
    items = tuple(Item(id=name, path=path) for name in names)
    data = ImageSet(name="x", task=None, classes=(), items=items, source=FileSource(root=tmp_path))
    places = [data.copy(k, tmp_path / "out").relative_to(tmp_path / "out").as_posix() for k in range(3)]
    assert places == ["below/one.png", "_/_/one.png", "etc/one.png"]


def test_a_name_without_an_ending_gets_that_of_its_format(tmp_path):
    dicom(bits=12)(tmp_path)
    data = ImageSet(
        name="x",
        task=None,
        classes=(),
        items=(Item(id="dcm-1a2b", path=tmp_path / "a.dcm"),),
        source=FileSource(root=tmp_path),
    )
    copied = data.copy(0, tmp_path / "out")
    assert copied.name == "dcm-1a2b.dcm"
    assert copied.read_bytes() == (tmp_path / "a.dcm").read_bytes()


def test_a_page_of_several_becomes_a_file_of_its_own(tmp_path):
    pages = [Image.fromarray(drawn(np.uint8) // (k + 1)) for k in range(2)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    data = load_data(tmp_path)
    for k in range(2):
        copied = data.copy(k, tmp_path / "out")
        assert torch.equal(data.reread(k, copied).pixels, data.read(k).pixels)
        with Image.open(copied) as image:
            assert image.info["Description"] == DERIVED + COPIED
        pixels = torch.rand((1, *SHAPE), generator=stream(6, k))
        settled = data.source.settle(data.items[k], pixels)
        assert torch.equal(settled, data.reread(k, data.write(k, pixels, tmp_path / "again", "x")).pixels)


@pytest.mark.parametrize("make", ["frames", "slices"])
def test_frames_and_slices_are_copied_and_settled_by_themselves(tmp_path, make):
    if make == "frames":
        levels = drawn(np.uint8, (2, *SHAPE))
        make_dicom(tmp_path / "a.dcm", levels, extra={"WindowCenter": 90, "WindowWidth": 120})
        data = load_data(tmp_path)
    else:
        volume(np.int16)(tmp_path)
        data = load_data(tmp_path, options=ReadOptions(slices=2))
    assert len(data) == (2 if make == "frames" else 3)
    for k in range(2):
        copied = data.copy(k, tmp_path / "out")
        assert torch.equal(data.reread(k, copied).pixels, data.read(k).pixels)
        pixels = torch.rand(data.read(k).pixels.shape, generator=stream(7, k))
        settled = data.source.settle(data.items[k], pixels)
        assert torch.equal(settled, data.reread(k, data.write(k, pixels, tmp_path / "again", "x")).pixels)


@pytest.mark.parametrize(("dtype", "top"), [(np.uint8, 255), (np.uint16, 65535), (np.float32, 65535)])
@pytest.mark.parametrize("shape", [(1, *SHAPE), (3, *SHAPE), (1, 4, 5, 6)], ids=["grey", "colour", "volume"])
def test_arrays_are_copied_and_settled_at_their_depth(tmp_path, dtype, top, shape):
    images = drawn(np.uint16, (2, *shape))
    images = (
        (images / 65535).astype(np.float32)
        if dtype == np.float32
        else (images >> (16 - top.bit_length())).astype(dtype)
    )
    data = memory_set("held", images)
    copied = data.copy(1, tmp_path / "out")
    assert copied.relative_to(tmp_path / "out").as_posix().startswith("held/00001.")
    assert (data.reread(1, copied).pixels - data.read(1).pixels).abs().max() <= (dtype == np.float32) / top / 2
    pixels = torch.rand(shape, generator=stream(8))
    settled = data.source.settle(data.items[1], pixels)
    assert (settled - pixels).abs().max() <= 0.5 / top + 1e-7
    torch.testing.assert_close(
        settled, data.reread(1, data.write(1, pixels, tmp_path / "again", "x")).pixels, rtol=0, atol=1e-7
    )


def test_an_image_without_a_file_is_named(tmp_path):
    data = ImageSet(name="x", task=None, classes=(), items=(Item(id="a"),), source=FileSource(root=tmp_path))
    with pytest.raises(InputError, match="a has no file"):
        data.copy(0, tmp_path)
    with pytest.raises(InputError, match="a has no file"):
        data.source.settle(data.items[0], torch.zeros(1, 2, 2))
