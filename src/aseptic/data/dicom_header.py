"""A DICOM instance without its pixels: what it is, where its pixels lie, and whether they can be what it says."""

import io
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from pathlib import Path

from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filereader import read_dataset, read_file_meta_info, read_partial
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    MediaStorageDirectoryStorage,
)

from aseptic.core.errors import InputError
from aseptic.data.dicom_values import items, number, numbers, sealed, text

Stream = io.BytesIO | io.BufferedReader
"""A file, or its inflated content."""
PIXEL_TAGS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}
PHOTOMETRIC = {
    *("MONOCHROME1", "MONOCHROME2", "PALETTE COLOR", "RGB", "YBR_FULL", "YBR_FULL_422", "YBR_PARTIAL_420"),
    *("YBR_ICT", "YBR_RCT"),
}
DEFLATED_FRAMES = UID("1.2.840.10008.1.2.8.1")
"""Deflated Image Frame Compression, too new for pydicom 3.0."""
UNDEFINED_LENGTH = 0xFFFFFFFF
PREFIX_AT, PREFIX = 128, b"DICM"
COLOUR_SAMPLES = 3
MAX_SAMPLES = 2**31
"""Largest instance that is opened, in samples over all frames."""
MAX_FRAME_SAMPLES = 2**28
"""Largest frame that is decoded, in samples (16384 x 16384 grey)."""
MAX_INFLATED = 2**30
"""Largest deflated data set that is opened, in bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Header:
    """Everything of one instance but its pixels."""

    path: Path
    """The file."""
    dataset: Dataset
    """Elements in front of the pixel data."""
    syntax: UID
    """Transfer syntax; guessed from the bytes where the file does not say."""
    keyword: str
    """``PixelData``, ``FloatPixelData`` or ``DoubleFloatPixelData``."""
    vr: str | None
    """Value representation of the pixel data; None where it is implicit."""
    offset: int
    """Byte of `stream` at which their value begins."""
    length: int
    """Bytes of their value that are there, up to the end of the file where encapsulated."""

    @property
    def floating(self) -> bool:
        """Whether the pixels are stored as floating-point numbers."""
        return self.keyword != "PixelData"

    @property
    def encapsulated(self) -> bool:
        """Whether every frame is compressed on its own."""
        return self.syntax == DEFLATED_FRAMES or self.syntax.is_encapsulated

    @property
    def little_endian(self) -> bool:
        """Whether numbers of several bytes begin with the lowest."""
        return self.syntax != ExplicitVRBigEndian

    @property
    def frames(self) -> int:
        """Number of frames; at least 1."""
        return max(1, int(number(self.dataset, "NumberOfFrames") or 1))

    @property
    def photometric(self) -> str:
        """Photometric Interpretation."""
        return text(self.dataset, "PhotometricInterpretation")

    @property
    def samples(self) -> int:
        """Samples per pixel as stored."""
        return int(number(self.dataset, "SamplesPerPixel") or 1)

    @property
    def shape(self) -> tuple[int, int, int]:
        """``(channel, row, column)`` of one frame as read: three channels for colour and palettes, one for grey."""
        colour = self.photometric == "PALETTE COLOR" or self.samples == COLOUR_SAMPLES
        rows, columns = (int(number(self.dataset, name) or 0) for name in ("Rows", "Columns"))
        return COLOUR_SAMPLES if colour else 1, rows, columns

    def stream(self) -> Stream:
        """Return the file, or its inflated content, opened for reading."""
        return inflate(self.path) if self.syntax == DeflatedExplicitVRLittleEndian else self.path.open("rb")

    def places(self, frame: int) -> Sequence[Dataset]:
        """Return where an attribute of the frame may be, nearest first: functional groups, then the data set."""
        per_frame = items(self.dataset, "PerFrameFunctionalGroupsSequence")[frame : frame + 1]
        return [*per_frame, *items(self.dataset, "SharedFunctionalGroupsSequence")[:1], self.dataset]

    def group(self, frame: int, sequence: str) -> Dataset:
        """Return the first item of a functional group for the frame, or the data set itself where it has none."""
        found = (item for place in self.places(frame) for item in items(place, sequence)[:1])
        return next(found, self.dataset)

    def spacing(self, frame: int) -> tuple[float, float] | None:
        """Return millimetres between rows and between columns, where the file says so."""
        measures = self.group(frame, "PixelMeasuresSequence")
        for place, name in ((measures, "PixelSpacing"), (self.dataset, "ImagerPixelSpacing")):
            if len(found := numbers(place, name)) == 2 and min(found) > 0:  # noqa: PLR2004 - rows and columns
                return found[0], found[1]
        return None


def inflate(path: Path) -> Stream:
    """Return the data set of a deflated file.

    Raises:
        InputError: It is larger than `MAX_INFLATED` bytes.
    """
    group_length = int(read_file_meta_info(path).FileMetaInformationGroupLength)
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    with path.open("rb") as file:
        # after the preamble, the prefix, the 12 bytes of the group length and the group
        file.seek(PREFIX_AT + len(PREFIX) + 12 + group_length)
        data = inflater.decompress(file.read(), MAX_INFLATED)
    if inflater.unconsumed_tail:
        raise InputError(f"a deflated data set must hold at most {MAX_INFLATED} bytes, this one holds more")
    return io.BytesIO(data)


def open_header(path: Path) -> Header:
    """Parse everything but the pixels, and check that they can be what the header says.

    Raises:
        InputError: Not DICOM, or no image, or too large, or cut off; the message holds no identifier.
    """
    with sealed("the DICOM header cannot be parsed"):
        header = _parse(path)
        _check_size(header)
        _check_length(header)
        return header


def _parse(path: Path) -> Header:
    found: list[tuple[int, str | None, int]] = []

    def at_pixels(tag: int, vr: str | None, length: int) -> bool:
        if int(tag) in PIXEL_TAGS:
            found.append((int(tag), vr, length))
        return int(tag) in PIXEL_TAGS

    with path.open("rb") as file:
        prefixed = file.read(PREFIX_AT + len(PREFIX)).endswith(PREFIX)
    meta = read_file_meta_info(path) if prefixed else Dataset()
    deflated = meta.get("TransferSyntaxUID") == DeflatedExplicitVRLittleEndian
    with inflate(path) if deflated else path.open("rb") as stream:
        if deflated:
            dataset = read_dataset(stream, is_implicit_VR=False, is_little_endian=True, stop_when=at_pixels)
            dataset.file_meta = FileMetaDataset(meta)
            dataset.set_original_encoding(is_implicit_vr=False, is_little_endian=True)
        else:
            dataset = read_partial(stream, at_pixels, force=True)
        place, size = stream.tell(), stream.seek(0, io.SEEK_END)
    if not found:
        raise InputError(_no_image(dataset))
    tag, vr, length = found[-1]
    offset = place + (8 if vr is None else 12)
    available = size - offset if length == UNDEFINED_LENGTH else min(length, size - offset)
    keyword = PIXEL_TAGS[tag]
    syntax = _syntax(dataset)
    return Header(path=path, dataset=dataset, syntax=syntax, keyword=keyword, vr=vr, offset=offset, length=available)


def _syntax(dataset: Dataset) -> UID:
    """Return the transfer syntax, or the one in which the data set was found to be encoded."""
    if given := dataset.file_meta.get("TransferSyntaxUID"):
        if given != DEFLATED_FRAMES and not UID(given).is_transfer_syntax:
            raise InputError("the transfer syntax must be one of the standard's, this one is private or not known")
        return UID(given)
    implicit, little = dataset.original_encoding
    if implicit:
        return ImplicitVRLittleEndian
    return ExplicitVRLittleEndian if little else ExplicitVRBigEndian


def _no_image(dataset: Dataset) -> str:
    """Say what the file is instead of an image; names of classes come from the standard's own list."""
    uid = text(dataset, "SOPClassUID") or text(dataset.file_meta, "MediaStorageSOPClassUID")
    if uid == MediaStorageDirectoryStorage or "DirectoryRecordSequence" in dataset:
        return "holds no image: it is a DICOMDIR, an index of other files"
    if "Rows" in dataset and "Columns" in dataset:
        return "holds no image: it says how large its pixel data are, and has none"
    if len(dataset) == 0:
        return "holds no image: it is not DICOM, or has no elements"
    # an identifier that the standard does not know is its own name, and stays unsaid
    kind = f" ({UID(uid).name})" if UID(uid).name != uid else ""
    return f"holds no image: it has no pixel data{kind}"


def _check_size(header: Header) -> None:
    """Refuse sizes that are absent, or that would exhaust the memory."""
    _, rows, columns = header.shape
    if min(rows, columns) < 1:
        raise InputError(f"Rows and Columns must be at least 1, got {rows} and {columns}")
    if header.photometric not in PHOTOMETRIC:
        raise InputError(f"the photometric interpretation must be one of {', '.join(sorted(PHOTOMETRIC))}")
    samples = rows * columns * header.samples
    if samples > MAX_FRAME_SAMPLES or samples * header.frames > MAX_SAMPLES:
        raise InputError(
            f"an image must have at most {MAX_FRAME_SAMPLES} samples a frame and {MAX_SAMPLES} in all, "
            f"the header says {header.frames} x {samples}"
        )
    if header.frames > max(1, header.length) * 8:
        raise InputError(f"the header says {header.frames} frames, the pixel data hold {header.length} bytes")


def _check_length(header: Header) -> None:
    """Refuse pixel data that are empty, or cut off where that can be told without decoding."""
    if header.length <= 0:
        raise InputError("holds no image: its pixel data are empty")
    if header.encapsulated:
        return
    _, rows, columns = header.shape
    bits = rows * columns * header.samples * header.frames * int(number(header.dataset, "BitsAllocated") or 0)
    if header.photometric == "YBR_FULL_422":
        bits = bits * 2 // 3
    if header.length < ceil(bits / 8):
        raise InputError(f"the pixel data end early: {header.length} of {ceil(bits / 8)} bytes")
