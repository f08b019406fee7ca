"""DICOM images: every frame of every transfer syntax that pydicom, pylibjpeg and GDCM decode."""

from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from jaxtyping import Float

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import Format, Frame, Loaded, ReadOptions
from aseptic.data.dicom_grey import chain_of
from aseptic.data.dicom_header import COLOUR_SAMPLES, PREFIX, PREFIX_AT, Header, open_header
from aseptic.data.dicom_pixels import stored_values
from aseptic.data.dicom_values import sealed
from aseptic.data.dicom_write import write_derived
from aseptic.data.window import parse_window

VRS = {
    *(b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FL", b"FD", b"IS", b"LO", b"LT", b"OB", b"OW", b"PN", b"SH"),
    *(b"SL", b"SQ", b"SS", b"ST", b"TM", b"UI", b"UL", b"UN", b"US", b"UT"),
}


class Dicom(Format):
    """Grey, colour and palette images, single or multi-frame; a frame is an image.

    Read as ``float32 [1, row, column]``, or ``[3, row, column]`` for colour. Grey values pass through the rescale or
    modality LUT, the window (`ReadOptions.window`) and the inversion of MONOCHROME1; colour is divided by its largest
    stored value, whatever the window. `aseptic.data.dicom_grey.chain_of` says what ``auto`` means.
    """

    name: ClassVar[str] = "dicom"
    suffixes: ClassVar[tuple[str, ...]] = (".dcm", ".dicom", ".ima")

    def claims(self, path: Path) -> bool:
        """Return whether the file has DICOM's prefix, or begins with an element that a DICOM data set begins with."""
        with path.open("rb") as file:
            first = file.read(PREFIX_AT + len(PREFIX))
        return first[PREFIX_AT:] == PREFIX or _begins_data_set(first)

    def probe(self, path: Path, options: ReadOptions) -> Sequence[Frame]:
        """Return the frames that the header announces."""
        parse_window(options.window)
        header = open_header(path)
        if header.frames == 1:
            return [Frame(index=None, shape=header.shape)]
        return [Frame(index=index, shape=header.shape) for index in range(header.frames)]

    def read(self, path: Path, frame: int | None, options: ReadOptions) -> Loaded:
        """Decode one frame."""
        header = open_header(path)
        index = _checked(header, frame)
        stored = stored_values(header, index)
        with sealed("the grey scale of the image cannot be worked out"):
            chain = chain_of(header, index, options, stored)
            return Loaded(
                pixels=_channels_first(chain.to_unit(stored)),
                scale=chain.scale(lost=int(np.count_nonzero(~np.isfinite(stored)))),
                spacing=header.spacing(index),
            )

    def write(  # noqa: PLR0913 - the signature of `Format.write`
        self, pixels: Image, target: Path, *, source: Path, frame: int | None, options: ReadOptions, note: str
    ) -> Path:
        """Write a new instance with the pixels, marked as derived and not for diagnosis.

        What the window cannot show (a value that no stored level reaches) becomes the nearest level.
        """
        header = open_header(source)
        index = _checked(header, frame)
        return write_derived(pixels, target, header=header, frame=index, options=options, note=note)

    def settle(self, pixels: Image, path: Path, frame: int | None, options: ReadOptions) -> Image:
        """Return the pixels on the levels of the image, which a window or a lookup table may space unevenly."""
        header = open_header(path)
        stored = stored_values(header, _checked(header, frame))
        with sealed("the grey scale of the image cannot be worked out"):
            chain = chain_of(header, _checked(header, frame), options, stored)
            unit = np.moveaxis(pixels.numpy(), 0, -1) if stored.ndim == COLOUR_SAMPLES else pixels[0].numpy()
            return _channels_first(chain.to_unit(chain.to_stored(unit, stored)))


def _channels_first(unit: Float[np.ndarray, "..."]) -> Image:
    return torch.from_numpy(np.moveaxis(unit, -1, 0).copy() if unit.ndim == COLOUR_SAMPLES else unit[None])


def _checked(header: Header, frame: int | None) -> int:
    """Return the number of the frame.

    Raises:
        InputError: There is no such frame, or there are several and none is named.
    """
    if frame is None and header.frames == 1:
        return 0
    if frame is None or not 0 <= frame < header.frames:
        raise InputError(f"frame must be one of 0 to {header.frames - 1}, got {frame}")
    return frame


def _begins_data_set(first: bytes) -> bool:
    """Return whether the bytes are an element of group 0002 or 0008, in either byte order, explicit or implicit."""
    if len(first) < 8 or first[:2] not in {b"\x02\x00", b"\x08\x00", b"\x00\x08"}:  # noqa: PLR2004 - tag, length
        return False
    order: Literal["big", "little"] = "big" if first[:2] == b"\x00\x08" else "little"
    element = int.from_bytes(first[2:4], order)
    plausible = element <= 0x70  # noqa: PLR2004 - data sets begin with low elements: lengths, character set, dates
    return plausible and (first[4:6] in VRS or int.from_bytes(first[4:8], order) <= 128)  # noqa: PLR2004 - short text
