"""Pixels of every mode against NumPy, what bad files say, and the way back."""

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.data.base import ReadOptions
from aseptic.data.png import encode_png
from aseptic.data.raster import Raster

OPTIONS = ReadOptions()
RASTER = Raster()


def levels(shape, dtype=np.uint8):
    return numpy_stream(1, str(shape)).integers(0, np.iinfo(dtype).max, shape, endpoint=True, dtype=dtype)


def read(path, frame=None):
    (shape,) = {found.shape for found in RASTER.probe(path, OPTIONS)}
    loaded = RASTER.read(path, frame, OPTIONS)
    assert tuple(loaded.pixels.shape) == shape, "the header says the shape that is read"
    assert loaded.pixels.dtype == torch.float32
    return loaded


@pytest.mark.parametrize("suffix", [".png", ".tif", ".bmp"])
@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 3)], ids=["grey", "colour"])
def test_eight_bits_are_exact(tmp_path, suffix, shape):
    stored = levels(shape)
    Image.fromarray(stored).save(path := tmp_path / f"a{suffix}")
    loaded = read(path)
    back = (loaded.pixels * 255).numpy().reshape(-1, 5, 7)
    assert np.array_equal(back.round().astype(int), np.moveaxis(stored.reshape(5, 7, -1), -1, 0))
    assert (loaded.scale.bits, loaded.scale.step, loaded.scale.high) == (8, 1 / 255, 255)


@pytest.mark.parametrize("suffix", [".png", ".tif"])
def test_every_level_of_sixteen_bits_is_kept(tmp_path, suffix):
    stored = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    Image.fromarray(stored).save(path := tmp_path / f"a{suffix}")
    loaded = read(path)
    assert loaded.scale.bits == 16
    assert np.array_equal((loaded.pixels[0].double() * 65535).round().numpy(), stored)


def test_sixteen_bits_big_endian(tmp_path):
    stored = levels((4, 5), np.uint16)
    Image.frombytes("I;16B", (5, 4), stored.astype(">u2").tobytes()).save(path := tmp_path / "a.tif")
    assert np.array_equal((read(path).pixels[0].double() * 65535).round().numpy(), stored)


def test_sixteen_bits_of_colour_are_kept(tmp_path):
    stored = levels((6, 5, 3), np.uint16)
    (path := tmp_path / "a.png").write_bytes(encode_png(stored, 16, ""))
    loaded = read(path)
    assert loaded.scale.bits == 16
    assert np.array_equal((loaded.pixels.double() * 65535).round().movedim(0, -1).numpy(), stored)


def test_sixteen_bits_with_alpha_lie_over_black(tmp_path):
    stored = levels((3, 4, 2), np.uint16)  # grey with alpha: colour type 4, which our encoder does not write
    rows = np.hstack([np.zeros((3, 1), np.uint8), stored.astype(">u2").reshape(3, -1).view(np.uint8)])
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 4, 3, 16, 4, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows.tobytes())),
        (b"IEND", b""),
    )
    data = b"".join(struct.pack(">I", len(d)) + k + d + struct.pack(">I", zlib.crc32(k + d)) for k, d in chunks)
    (path := tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + data)
    expected = (stored[..., 0] / 65535) * (stored[..., 1] / 65535)
    np.testing.assert_allclose(read(path).pixels[0], expected, atol=1e-6)


def test_one_bit(tmp_path):
    stored = levels((5, 9)) > 127
    Image.fromarray(stored).save(path := tmp_path / "a.png")
    loaded = read(path)
    assert loaded.scale.bits == 1
    assert np.array_equal(loaded.pixels[0], stored)


def test_palettes_become_colour(tmp_path):
    image = Image.frombytes("P", (2, 1), bytes([0, 1]))
    image.putpalette([255, 0, 0, 0, 51, 0])
    image.save(path := tmp_path / "a.png")
    assert (read(path).pixels * 255).round().tolist() == [[[255, 0]], [[0, 51]], [[0, 0]]]


def test_what_is_transparent_becomes_black(tmp_path):
    stored = np.array([[[200, 100, 50, 255], [200, 100, 50, 0]]], np.uint8)
    Image.fromarray(stored).save(path := tmp_path / "a.png")
    loaded = read(path)
    assert (loaded.pixels * 255).round().int().tolist() == [[[200, 0]], [[100, 0]], [[50, 0]]]
    assert "over black" in loaded.scale.how


def test_grey_with_alpha_stays_grey(tmp_path):
    Image.fromarray(np.array([[[200, 255], [200, 0]]], np.uint8)).save(path := tmp_path / "a.png")
    assert (read(path).pixels * 255).round().tolist() == [[[200, 0]]]


def test_cmyk_becomes_colour(tmp_path):
    Image.new("CMYK", (3, 2), (0, 255, 255, 0)).save(path := tmp_path / "a.tif")
    assert (read(path).pixels[:, 0, 0] * 255).round().tolist() == [255, 0, 0]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.zeros((2, 3), np.uint8)
    stored[0, 0] = 255  # the corner that EXIF says lies elsewhere
    Image.fromarray(stored).save(path := tmp_path / "a.png", exif=exif)
    pixels = read(path).pixels[0]
    corners = {1: (0, 0), 2: (0, -1), 3: (-1, -1), 4: (-1, 0), 5: (0, 0), 6: (0, -1), 7: (-1, -1), 8: (-1, 0)}
    assert tuple(pixels.shape) == ((2, 3) if orientation < 5 else (3, 2))
    assert pixels[corners[orientation]] == 1


def test_float_tiff_keeps_its_range(tmp_path):
    stored = numpy_stream(2).normal(40, 400, (6, 5)).astype(np.float32)
    Image.fromarray(stored).save(path := tmp_path / "a.tif")
    loaded = read(path)
    assert (loaded.scale.low, loaded.scale.high) == (stored.min(), stored.max())
    span = loaded.scale.high - loaded.scale.low
    np.testing.assert_allclose(loaded.pixels[0] * span + loaded.scale.low, stored, atol=1e-3)
    attacked = loaded.pixels * 0.5 + 0.1  # its own range is narrower: the tags must bring the old one back
    again = read(RASTER.write(attacked, tmp_path / "b.tif", source=path, frame=None, options=OPTIONS, note="halved"))
    torch.testing.assert_close(again.pixels, attacked, rtol=0, atol=1e-6)


def test_constant_float_image_is_black(tmp_path):
    Image.fromarray(np.full((2, 2), 7, np.float32)).save(path := tmp_path / "a.tif")
    assert read(path).pixels.tolist() == [[[0, 0], [0, 0]]]


def test_pages_and_frames(tmp_path):
    pages = [Image.fromarray(levels((4, 5)) // (k + 1)) for k in range(3)]
    pages[0].save(path := tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    assert [frame.index for frame in RASTER.probe(path, OPTIONS)] == [0, 1, 2]
    for number, page in enumerate(pages):
        stored = (RASTER.read(path, number, OPTIONS).pixels[0] * 255).round().numpy()
        assert np.array_equal(stored, np.asarray(page))


BAD = {
    "text": (b"this is no image at all", r"the header is damaged"),
    "truncated": (lambda whole: whole[: len(whole) // 2], r"cannot be decoded: .*"),
    "header only": (lambda whole: whole[:30], r"cannot be decoded"),
    "flipped": (lambda whole: whole[:60] + b"\xff\x00\xff" + whole[63:], r"cannot be decoded"),
}


@pytest.mark.parametrize("case", BAD)
@pytest.mark.parametrize("shape", [(64, 64), (64, 64, 3)], ids=["grey", "wide colour"])
def test_bad_files_say_why_without_their_name(tmp_path, case, shape):
    content, match = BAD[case]
    whole = encode_png(levels((*shape[:2], 3 if len(shape) == 3 else 1), np.uint16), 16, "")
    path = tmp_path / "DOE^JOHN.png"
    path.write_bytes(content(whole) if callable(content) else content)
    with pytest.raises(InputError, match=match) as caught:
        RASTER.read(path, None, OPTIONS)
    assert "DOE" not in str(caught.value)


def test_absent_file(tmp_path):
    with pytest.raises(InputError, match=r"the file does not exist"):
        RASTER.probe(tmp_path / "none.png", OPTIONS)


def test_decompression_bomb(draw, monkeypatch):
    path = draw("a.png", (32, 32))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    with pytest.raises(InputError, match=r"too large to be decoded safely: more than 100 pixels"):
        RASTER.read(path, None, OPTIONS)


def test_sixteen_bit_colour_tiff_is_refused_not_cut(tmp_path):
    tifffile = pytest.importorskip("tifffile")
    tifffile.imwrite(path := tmp_path / "a.tif", levels((4, 4, 3), np.uint16), photometric="rgb")
    with pytest.raises(InputError, match=r"at most 8 bits a sample, got 16; convert it to PNG"):
        RASTER.read(path, None, OPTIONS)


def test_float_that_is_not_a_number(tmp_path):
    Image.fromarray(np.array([[0.0, np.nan]], np.float32)).save(path := tmp_path / "a.tif")
    with pytest.raises(InputError, match=r"samples must be finite, got 1 that are not"):
        RASTER.read(path, None, OPTIONS)


def test_a_jpeg_comes_back_as_png_with_a_description(tmp_path):
    Image.fromarray(levels((16, 16, 3))).save(source := tmp_path / "a.jpg")
    pixels = torch.rand(3, 16, 16, generator=stream(0))
    path = RASTER.write(pixels, tmp_path / "out.jpg", source=source, frame=None, options=OPTIONS, note="attacked by us")
    assert path == tmp_path / "out.jpg.png"
    with Image.open(path) as image:
        assert image.info["Description"] == "attacked by us"
    torch.testing.assert_close(read(path).pixels, pixels, rtol=0, atol=0.5 / 255 + 1e-6)


def test_claims_goes_by_the_bytes(tmp_path, draw):
    png = draw("a.png")
    png.rename(tmp_path / "a.dcm")
    assert RASTER.claims(tmp_path / "a.dcm")
    (tmp_path / "text.bmp").write_bytes(b"BM is how this text begins, but it is none")
    assert not RASTER.claims(tmp_path / "text.bmp")
    (tmp_path / "dual.tif").write_bytes(b"II*\x00" + bytes(124) + b"DICM")
    assert not RASTER.claims(tmp_path / "dual.tif")
