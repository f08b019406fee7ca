"""Stored values of one DICOM frame: pydicom's decoders, and three encodings that they refuse."""

import zlib
from collections.abc import Callable
from typing import Any

import gdcm  # type: ignore[import-untyped]
import numpy as np
from jaxtyping import Shaped
from pydicom.encaps import get_frame
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.processing import apply_color_lut
from pydicom.pixels.utils import as_pixel_options
from pydicom.uid import JPEGExtended12Bit, RLELossless
from rle.rle import decode_segment  # type: ignore[import-not-found]

from aseptic.core.errors import InputError
from aseptic.data.dicom_header import COLOUR_SAMPLES, DEFLATED_FRAMES, Header, Stream
from aseptic.data.dicom_values import number, sealed

Stored = Shaped[np.ndarray, "height width *channel"]
"""Stored values, before any rescale or window; a last axis of three for colour."""
BYTE = 8
RLE_HEADER = 64


def stored_values(header: Header, frame: int) -> Stored:
    """Decode one frame: integers or floating-point numbers ``[row, column]``, or RGB ``[row, column, 3]``.

    YBR becomes RGB; a palette is applied (8- or 16-bit entries).

    Raises:
        InputError: The pixel data cannot be decoded; the message names the encoding.
    """
    kind = "Deflated Image Frame Compression" if header.syntax == DEFLATED_FRAMES else header.syntax.name
    with sealed(f"the pixel data cannot be decoded from {kind}, {header.photometric}"):
        _check_high_bit(header)
        with header.stream() as stream:
            stream.seek(header.offset)
            values = _decoder(header)(header, frame, stream)
        if header.photometric == "PALETTE COLOR":
            values = _apply_palette(values, header)
        _, rows, columns = header.shape
        if values.shape[:2] != (rows, columns):
            raise InputError(f"the header says {rows} x {columns} pixels, the pixel data hold {list(values.shape[:2])}")
        return values.astype(values.dtype.newbyteorder("="), copy=False)


def _check_high_bit(header: Header) -> None:
    """Refuse samples that do not end at the lowest bit: pydicom would misread them, and the standard forbids them."""
    high, stored = number(header.dataset, "HighBit"), number(header.dataset, "BitsStored")
    if header.encapsulated or header.floating or high is None or stored is None or high == stored - 1:
        return
    raise InputError(f"High Bit must be Bits Stored - 1, that is {stored - 1:g}, got {high:g}")


def _decoder(header: Header) -> Callable[[Header, int, Stream], Stored]:
    bits = number(header.dataset, "BitsAllocated")
    if header.syntax == RLELossless and bits == 1:
        return _packed_rle
    if header.syntax == DEFLATED_FRAMES:
        return _deflated
    if header.syntax == JPEGExtended12Bit and number(header.dataset, "BitsStored") != BYTE:
        return _extended_jpeg
    return _by_pydicom


def _by_pydicom(header: Header, frame: int, stream: Stream) -> Stored:
    options: dict[str, Any] = as_pixel_options(header.dataset)
    options |= {"pixel_keyword": header.keyword, "transfer_syntax_uid": header.syntax}
    options["number_of_frames"] = header.frames
    if header.vr:
        options["pixel_vr"] = header.vr
    values, _ = get_decoder(header.syntax).as_array(stream, index=frame, **options)
    return values


def _encoded(header: Header, frame: int, stream: Stream) -> bytes:
    offsets = None
    if "ExtendedOffsetTable" in header.dataset:
        offsets = (header.dataset.ExtendedOffsetTable, header.dataset.ExtendedOffsetTableLengths)
    return bytes(get_frame(stream, frame, number_of_frames=header.frames, extended_offsets=offsets))


def _packed_rle(header: Header, frame: int, stream: Stream) -> Stored:
    """Return one bit a pixel from one run-length encoded segment, as in the standard's correction of 2024."""
    return _unpack(header, decode_segment(_encoded(header, frame, stream)[RLE_HEADER:]))


def _deflated(header: Header, frame: int, stream: Stream) -> Stored:
    """Return a frame of Deflated Image Frame Compression."""
    bits = int(number(header.dataset, "BitsAllocated") or 0)
    _, rows, columns = header.shape
    expected = -(-rows * columns * header.samples * bits // 8)
    data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(_encoded(header, frame, stream), expected)
    if bits == 1:
        return _unpack(header, data)
    kind = "i" if number(header.dataset, "PixelRepresentation") else "u"
    values = np.frombuffer(data, dtype=f"<{kind}{bits // 8}")
    if header.samples == 1:
        return values.reshape(rows, columns)
    if number(header.dataset, "PlanarConfiguration"):
        return np.moveaxis(values.reshape(COLOUR_SAMPLES, rows, columns), 0, -1)
    return values.reshape(rows, columns, COLOUR_SAMPLES)


def _unpack(header: Header, data: bytes) -> Stored:
    _, rows, columns = header.shape
    bits = np.unpackbits(np.frombuffer(data, dtype=np.uint8), count=rows * columns, bitorder="little")
    return bits.reshape(rows, columns)


def _extended_jpeg(header: Header, frame: int, stream: Stream) -> Stored:
    """Return a 12-bit lossy JPEG frame through GDCM, which pydicom does not ask for more than 8 bits.

    pylibjpeg, which pydicom asks, refuses what several vendors write as the end of the spectral selection.
    """
    try:
        return _by_pydicom(header, frame, stream)
    except (RuntimeError, ValueError):
        stream.seek(header.offset)
    _, rows, columns = header.shape
    fragment = gdcm.Fragment()
    fragment.SetByteStringValue(_encoded(header, frame, stream))
    fragments = gdcm.SequenceOfFragments.New()
    fragments.AddFragment(fragment)
    element = gdcm.DataElement(gdcm.Tag(0x7FE0, 0x0010))
    element.SetValue(fragments.__ref__())
    image = gdcm.Image()
    image.SetNumberOfDimensions(2)
    image.SetDimensions((columns, rows, 1))
    image.SetDataElement(element)
    photometric = gdcm.PhotometricInterpretation.GetPIType(header.photometric)
    image.SetPhotometricInterpretation(gdcm.PhotometricInterpretation(photometric))
    image.SetTransferSyntax(gdcm.TransferSyntax(gdcm.TransferSyntax.GetTSType(str(header.syntax))))
    bits = int(header.dataset.BitsStored)
    image.SetPixelFormat(gdcm.PixelFormat(1, 16, bits, bits - 1, int(header.dataset.PixelRepresentation)))
    # GDCM hands bytes out as a text
    data = image.GetBuffer().encode("utf-8", "surrogateescape")
    kind = "<i2" if header.dataset.PixelRepresentation else "<u2"
    return np.frombuffer(data, dtype=kind).reshape(rows, columns)


def _apply_palette(values: Shaped[np.ndarray, "row column"], header: Header) -> Shaped[np.ndarray, "row column 3"]:
    """Return the colours of a palette, without its alpha, at the depth of its entries."""
    dataset = header.dataset
    if "RedPaletteColorLookupTableData" not in dataset:  # segmented
        return apply_color_lut(values, dataset)[..., :COLOUR_SAMPLES]
    count, first, depth = (int(part) for part in dataset.RedPaletteColorLookupTableDescriptor)
    count = count or 2**16
    index = np.clip(values.astype(np.int64) - first, 0, count - 1)
    channels = []
    for colour in ("Red", "Green", "Blue"):
        data = bytes(dataset[f"{colour}PaletteColorLookupTableData"].value)
        order = "<" if header.little_endian else ">"
        wide = np.frombuffer(data[: 2 * count], dtype=f"{order}u2") if len(data) >= 2 * count else None
        entries = np.frombuffer(data[:count], dtype=np.uint8) if wide is None else wide.astype(np.uint16)
        channels.append(entries[index].astype(np.uint8) if depth == BYTE else entries[index])
    return np.stack(channels, -1)
