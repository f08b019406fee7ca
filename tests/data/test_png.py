"""The encoder against Pillow, the decoder against an encoder written from the text of the standard."""

import io
import struct
import zlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.png import ADAM7, check_pixels, decode_wide_png, encode_png, to_levels


def filtered(lines, step):
    """Return the lines as PNG stores them, with filters 0 to 4 in turn (ISO/IEC 15948, 9.2), byte by byte."""
    above, out = [0] * len(lines[0]), []
    for number, line in enumerate(lines):
        out.append(kind := number % 5)
        for x, value in enumerate(line):
            left, corner = (line[x - step], above[x - step]) if x >= step else (0, 0)
            guess = left + above[x] - corner
            paeth = min((left, above[x], corner), key=lambda one: abs(guess - one))
            out.append((value - (0, left, above[x], (left + above[x]) // 2, paeth)[kind]) % 256)
        above = line
    return bytes(out)


def wide_png(levels, *, interlaced=False):
    """Return a 16-bit PNG that uses every filter, written by the text of the standard alone."""
    height, width, channels = levels.shape
    stored = levels.astype(">u2").view(np.uint8).reshape(height, width, 2 * channels)
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    blocks = [stored[top::down, left::right] for top, left, down, right in passes]
    body = b"".join(filtered(block.reshape(len(block), -1).tolist(), 2 * channels) for block in blocks if block.size)
    header = struct.pack(">IIBBBBB", width, height, 16, {2: 4, 3: 2, 4: 6}[channels], 0, 0, int(interlaced))
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(body)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


sizes = st.tuples(st.integers(1, 11), st.integers(1, 11))


def draw_levels(shape, bits, seed=0):
    dtype = np.uint8 if bits <= 8 else np.uint16
    return numpy_stream(seed, str(shape)).integers(0, 2**bits, shape, dtype=dtype)


@given(size=sizes, channels=st.sampled_from([2, 3, 4]), interlaced=st.booleans(), seed=st.integers(0, 99))
def test_every_filter_of_sixteen_bits_is_read(size, channels, interlaced, seed):
    levels = draw_levels((*size, channels), 16, seed)
    assert np.array_equal(decode_wide_png(wide_png(levels, interlaced=interlaced)), levels)


@given(size=sizes, seed=st.integers(0, 99))
def test_sixteen_bit_colour_comes_back(size, seed):
    levels = draw_levels((*size, 3), 16, seed)
    assert np.array_equal(decode_wide_png(encode_png(levels, 16, "")), levels)


@given(size=sizes, layout=st.sampled_from([(8, 1), (8, 3), (16, 1)]), seed=st.integers(0, 99))
def test_pillow_reads_what_was_written(size, layout, seed):
    bits, channels = layout
    levels = draw_levels((*size, channels), bits, seed)
    with Image.open(io.BytesIO(encode_png(levels, bits, ""))) as image:
        assert np.array_equal(np.asarray(image).reshape(levels.shape), levels)


def test_pixel_data_that_is_cut_off():
    header = encode_png(np.zeros((9, 9, 3), np.uint16), 16, "")[:33]
    body = zlib.compress(b"too few")
    with pytest.raises(InputError, match=r"the pixel data must have 495 bytes, got 7"):
        decode_wide_png(header + struct.pack(">I", len(body)) + b"IDAT" + body + b"sum.")


@pytest.mark.parametrize("width", [1, 7, 8, 9])
def test_pillow_reads_one_bit_and_the_description(width):
    levels = numpy_stream(width).integers(0, 2, (5, width, 1), dtype=np.uint8)
    with Image.open(io.BytesIO(encode_png(levels, 1, "Ärzte"))) as image:
        assert image.mode == "1"
        assert image.info["Description"] == "Ärzte"
        assert np.array_equal(np.asarray(image), levels[..., 0].astype(bool))


def test_every_chunk_has_its_checksum():
    data = encode_png(np.zeros((2, 2, 1), np.uint8), 8, "x")[8:]
    kinds = []
    while data:
        (length,) = struct.unpack(">I", data[:4])
        kinds.append(data[4:8])
        assert struct.unpack(">I", data[8 + length : 12 + length])[0] == zlib.crc32(data[4 : 8 + length])
        data = data[12 + length :]
    assert kinds == [b"IHDR", b"iTXt", b"IDAT", b"IEND"]


@given(value=st.floats(0, 1), bits=st.sampled_from([1, 8, 12, 16]))
def test_levels_are_the_nearest(value, bits):
    level = int(to_levels(torch.full((1, 1, 1), value, dtype=torch.float64), bits)[0, 0, 0])
    assert abs(level / (2**bits - 1) - value) <= 0.5 / (2**bits - 1) + 1e-12


def test_refusals():
    with pytest.raises(InputError, match=r"a PNG must have 1 or 3 channels, got 4"):
        encode_png(np.zeros((2, 2, 4), np.uint8), 8, "")
    with pytest.raises(InputError, match=r"source's shape \[1, 2, 2\], got \[1, 2, 3\]"):
        check_pixels(torch.zeros(1, 2, 3), (1, 2, 2))
    with pytest.raises(InputError, match=r"must lie in \[0, 1\], got \[-0.5, 0\]"):
        check_pixels(torch.tensor([[[0.0, -0.5]]]), (1, 1, 2))
    with pytest.raises(InputError, match=r"must lie in \[0, 1\], got \[nan, nan\]"):
        check_pixels(torch.tensor([[[0.0, float("nan")]]]), (1, 1, 2))
