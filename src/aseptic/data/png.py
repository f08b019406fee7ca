"""PNG of 16-bit colour, which Pillow cuts to 8 bits: an encoder (for 1 and 8 bits too), and a decoder by two halves."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt16
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageOps
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""PNG colour types (ISO/IEC 15948, 11.2.2)."""
SAMPLES = {2: 3, 4: 2, 6: 4}
"""Samples a pixel of the colour types that are not a single grey or index."""
ADAM7 = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
"""First row, first column, row step and column step of the passes of an interlaced image."""


def check_pixels(pixels: Tensor, shape: tuple[int, ...]) -> None:
    """Refuse pixels that are not of ``shape`` or leave [0, 1].

    Raises:
        InputError: The shape differs, or a value is outside [0, 1] or not a number.
    """
    if tuple(pixels.shape) != tuple(shape):
        raise InputError(f"pixels must have the source's shape {list(shape)}, got {list(pixels.shape)}")
    low, high = pixels.min().item(), pixels.max().item()
    if not (low >= 0 and high <= 1):
        raise InputError(f"pixels must lie in [0, 1], got [{low:g}, {high:g}]")


def to_levels(pixels: Image, bits: int) -> Shaped[np.ndarray, "*space channel"]:
    """Return the nearest stored levels, channel last: uint8 up to 8 bits, else uint16."""
    levels = (pixels.detach().cpu().double() * (2**bits - 1)).round().movedim(0, -1)
    stored: NDArray[Any] = levels.numpy().astype(np.uint8 if bits <= 8 else np.uint16)  # noqa: PLR2004 - a byte
    return stored


def encode_png(levels: Shaped[np.ndarray, "height width channel"], bits: int, description: str) -> bytes:
    """Return a PNG file with one or three channels of ``bits`` (1, 8 or 16) each and a ``Description`` text.

    Raises:
        InputError: The number of channels is neither 1 nor 3.
    """
    height, width, channels = levels.shape
    if channels not in {1, 3}:
        raise InputError(f"a PNG must have 1 or 3 channels, got {channels}")
    if bits == 1:
        rows = np.packbits(levels[..., 0].astype(np.uint8), axis=1)
    else:
        rows = levels.astype(">u2" if bits > 8 else np.uint8).reshape(height, -1).view(np.uint8)  # noqa: PLR2004 - a byte
    # Filter 2 ("up"): each byte minus the one above it, modulo 256; compresses smooth images and needs no loop.
    above = np.vstack([np.zeros_like(rows[:1]), rows[:-1]])
    filtered = np.hstack([np.full((height, 1), 2, np.uint8), rows - above])
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR if channels == SAMPLES[COLOUR] else GREY, 0, 0, 0)
    text = b"Description\x00\x00\x00\x00\x00" + description.encode()
    body = zlib.compress(filtered.tobytes(), 6)
    return SIGNATURE + b"".join(
        _chunk(kind, data) for kind, data in ((b"IHDR", header), (b"iTXt", text), (b"IDAT", body), (b"IEND", b""))
    )


def decode_wide_png(data: bytes) -> UInt16[np.ndarray, "height width channel"]:
    """Return the samples of a 16-bit PNG in colour or with alpha, upright.

    PNG filters work on each byte of a pixel by itself, so the first and the second bytes of all samples are two valid
    8-bit images with the same filters, and Pillow decodes both.

    Raises:
        InputError: The pixel data is cut off.
    """
    chunks = _chunks(data)
    width, height, _, colour, *_, interlaced = struct.unpack(">IIBBBBB", chunks[0][1])
    passes = ADAM7 if interlaced else ((0, 0, 1, 1),)
    sizes = [(len(range(top, height, down)), len(range(left, width, right))) for top, left, down, right in passes]
    lengths = [rows * (1 + 2 * SAMPLES[colour] * columns) if columns else 0 for rows, columns in sizes]
    packed = b"".join(content for kind, content in chunks if kind == b"IDAT")
    stored = np.frombuffer(zlib.decompressobj().decompress(packed, sum(lengths)), np.uint8)
    if len(stored) < sum(lengths):
        raise InputError(f"the pixel data must have {sum(lengths)} bytes, got {len(stored)}")
    halves: tuple[list[bytes], list[bytes]] = ([], [])
    for (rows, _), block in zip(sizes, np.split(stored, np.cumsum(lengths)[:-1]), strict=True):
        if block.size:
            lines = block.reshape(rows, -1)
            for half, pieces in enumerate(halves):
                pieces.append(np.hstack([lines[:, :1], lines[:, 1 + half :: 2]]).tobytes())
    header = struct.pack(">IIBBBBB", width, height, 8, colour, 0, 0, interlaced)
    exif = [(kind, content) for kind, content in chunks if kind == b"eXIf"]
    first, second = (_decode_half(header, exif, b"".join(pieces)) for pieces in halves)
    samples: NDArray[Any] = first.astype(np.uint16) << 8 | second
    return samples


def _decode_half(
    header: bytes, exif: list[tuple[bytes, bytes]], lines: bytes
) -> Shaped[np.ndarray, "height width channel"]:
    body = [(b"IHDR", header), *exif, (b"IDAT", zlib.compress(lines, 1)), (b"IEND", b"")]
    with Pillow.open(io.BytesIO(SIGNATURE + b"".join(_chunk(*one) for one in body))) as image:
        return np.asarray(ImageOps.exif_transpose(image))


def _chunks(data: bytes) -> list[tuple[bytes, bytes]]:
    """Return kind and content of the chunks; their checksums are Pillow's to check."""
    found, at = [], len(SIGNATURE)
    while at + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, at)
        found.append((data[at + 4 : at + 8], data[at + 8 : at + 8 + length]))
        at += 12 + length
    return found


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
