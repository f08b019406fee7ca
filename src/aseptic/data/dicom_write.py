"""Writing an attacked image as a new DICOM instance, uncompressed, at the depth of its source."""

import hashlib
import os
from pathlib import Path

import numpy as np
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.pixels.utils import pack_bits
from pydicom.uid import ExplicitVRLittleEndian
from pydicom.valuerep import DSfloat

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import ReadOptions
from aseptic.data.chain import Chain
from aseptic.data.dicom_derive import derive
from aseptic.data.dicom_grey import chain_of
from aseptic.data.dicom_header import COLOUR_SAMPLES, Header
from aseptic.data.dicom_pixels import BYTE, Stored, stored_values
from aseptic.data.dicom_values import items, number, sealed
from aseptic.data.png import check_pixels
from aseptic.data.window import Window

FIRST_TAG = 0x00080000
"""Below it lie commands and the file's own meta information."""
PALETTE_GROUP = range(0x00281101, 0x00281224)


def write_derived(  # noqa: PLR0913 - as `Format.write`, with the source already parsed
    pixels: Image, target: Path, *, header: Header, frame: int, options: ReadOptions, note: str
) -> Path:
    """Write ``pixels`` as a derived instance of the source's frame and return the path.

    Stored at the source's depth in Explicit VR Little Endian; colour and palettes as RGB. Changes ``header.dataset``.

    Raises:
        InputError: Shape or range of the pixels, or a source that cannot be written again.
    """
    check_pixels(pixels, header.shape)
    if target.exists() and target.samefile(header.path):
        raise InputError("the target must not be the source itself")
    old = stored_values(header, frame)
    with sealed("the derived instance cannot be written"):
        chain = chain_of(header, frame, options, old)
        unit = pixels.detach().cpu().float().numpy()
        unit = np.moveaxis(unit, 0, -1) if len(unit) == COLOUR_SAMPLES else unit[0]
        stored = chain.to_stored(unit, old)
        fingerprint = hashlib.sha256(np.ascontiguousarray(stored).tobytes()).hexdigest()
        deep = stored.ndim == COLOUR_SAMPLES and chain.bits > BYTE
        dataset = derive(header, frame, note, fingerprint=f"{frame} {fingerprint}", deep_colour=deep)
        _put_pixels(dataset, stored, chain)
        if chain.measured and isinstance(chain.voi, Window):
            _pin_window(dataset, chain.voi)
        _save(dataset, target)
    return target


def _put_pixels(dataset: Dataset, stored: Stored, chain: Chain) -> None:
    """Set the pixel data and the elements that describe them."""
    little = stored.astype(stored.dtype.newbyteorder("<"))
    if chain.floating:
        data, vr = little.tobytes(), "OF" if stored.dtype.itemsize == 4 else "OD"  # noqa: PLR2004 - bytes of a float32
        dataset.add_new("FloatPixelData" if vr == "OF" else "DoubleFloatPixelData", vr, data)
        return
    packed = number(dataset, "BitsAllocated") == 1
    data = pack_bits(stored) if packed else little.tobytes()
    if stored.ndim == COLOUR_SAMPLES:
        dataset.PhotometricInterpretation, dataset.SamplesPerPixel, dataset.PlanarConfiguration = "RGB", 3, 0
        for tag in [tag for tag in dataset.keys() if tag in PALETTE_GROUP]:  # noqa: SIM118 - a Dataset iterates elements
            del dataset[tag]
        for keyword in ("PresentationLUTShape", "PixelPaddingValue", "PixelPaddingRangeLimit", "PixelPresentation"):
            if keyword in dataset:
                del dataset[keyword]
    if not packed:
        dataset.BitsAllocated = stored.dtype.itemsize * BYTE
        dataset.BitsStored, dataset.HighBit = chain.bits, chain.bits - 1
    dataset.PixelRepresentation = int(chain.signed)
    wide = not packed and stored.dtype.itemsize > 1
    dataset.add_new("PixelData", "OW" if wide else "OB", data + b"\0" * (len(data) % 2))


def _pin_window(dataset: Dataset, window: Window) -> None:
    """Write down the window that was measured on the source, so that the new pixels are read through it too."""
    per_frame = items(dataset, "PerFrameFunctionalGroupsSequence")
    place = dataset
    if per_frame:
        place = Dataset()
        per_frame[0].FrameVOILUTSequence = [place]
    for shared in items(dataset, "SharedFunctionalGroupsSequence") if per_frame else ():
        if "FrameVOILUTSequence" in shared:
            del shared["FrameVOILUTSequence"]
    place.WindowCenter = DSfloat(window.centre, auto_format=True)
    place.WindowWidth = DSfloat(window.width, auto_format=True)
    place.VOILUTFunction = "LINEAR_EXACT"
    if "WindowCenterWidthExplanation" in place:
        del place["WindowCenterWidthExplanation"]


def _save(dataset: Dataset, target: Path) -> None:
    """Write the file whole or not at all."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = dataset.SOPClassUID, dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    fresh = Dataset()
    fresh.update({tag: dataset[tag] for tag in dataset.keys() if tag >= FIRST_TAG})  # noqa: SIM118
    fresh.file_meta = meta
    fresh.preamble = b"\0" * 128
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        fresh.save_as(part, enforce_file_format=True)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
