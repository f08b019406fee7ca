"""A PNG encoder for 1, 8 and 16 bits, grey and colour; Pillow cannot write 16-bit colour."""

import struct
import zlib

import numpy as np
from jaxtyping import Shaped
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Image

SIGNATURE = b"\x89PNG\r\n\x1a\n"
GREY, COLOUR = 0, 2
"""PNG colour types (ISO/IEC 15948, 11.2.2)."""
PLANE = 3
"""Axes of one channel, row, column image."""


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
    return levels.numpy().astype(np.uint8 if bits <= 8 else np.uint16)  # noqa: PLR2004 - a byte


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
    header = struct.pack(">IIBBBBB", width, height, bits, COLOUR if channels == PLANE else GREY, 0, 0, 0)
    text = b"Description\x00\x00\x00\x00\x00" + description.encode()
    body = zlib.compress(filtered.tobytes(), 6)
    return SIGNATURE + b"".join(
        _chunk(kind, data) for kind, data in ((b"IHDR", header), (b"iTXt", text), (b"IDAT", body), (b"IEND", b""))
    )


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
