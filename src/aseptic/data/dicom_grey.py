"""Which chain a DICOM frame asks for: rescale or modality LUT, then window or VOI LUT, then inversion."""

from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TypedDict

import numpy as np
from jaxtyping import Float
from pydicom import Dataset

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.chain import Chain, Lut, Rescale
from aseptic.data.dicom_header import COLOUR_SAMPLES, Header, open_header
from aseptic.data.dicom_pixels import BYTE, Stored, stored_values
from aseptic.data.dicom_values import items, number, numbers, text
from aseptic.data.window import Window, parse_window

UNITS = {
    *("HU", "HU_MOD", "OD", "OD REL", "MGML", "Z_EFF", "ED", "EDW", "PCT", "CU"),
    *("CNTS", "CM2", "PCNT", "CPS", "BQML", "MGMINML", "UMOLMINML", "MLMING", "MLG", "GML", "STDDEV", "PROPCNTS"),
}
"""Units that are passed on; any other text of a header may be anything, a name included."""
MAX_INTEGER_BITS = 32


class _Depth(TypedDict):
    """What can be stored."""

    bits: int
    signed: bool
    floating: bool


def chain_of(header: Header, frame: int, options: ReadOptions, stored: Stored) -> Chain:
    """Return the way of one frame from its stored values to [0, 1].

    ``auto`` is the file's VOI LUT, else its first window, else the full stored range up to 8 bits (such images are made
    to be shown as they are), else the smallest to the largest modality value of the whole instance, padding left out.

    Raises:
        InputError: The option or the depth cannot be used.
    """
    custom = parse_window(options.window)
    depth = _depth(header, stored)
    if header.shape[0] == COLOUR_SAMPLES:
        return Chain(**depth, voi=_whole(depth, Rescale()), how=f"colour, full range of {depth['bits']} bits")
    modality, chain = _modality(header, frame)
    voi: Window | Lut | None = custom
    how, measured = f"window {options.window} (asked for)", False
    if options.window == "auto":
        voi, how = _stated(header, frame)
    if voi is None and (options.window == "full" or depth["bits"] <= BYTE) and not depth["floating"]:
        voi, how = _whole(depth, modality), f"{how}full stored range of {depth['bits']} bits"
    if voi is None:
        low, high = _extent(header, stored, modality)
        voi, measured = Window(low=low, high=high if high > low else low + 1), True
        how = f"{how}smallest to largest value of the instance, {low:g} to {high:g}"
    inverted = header.photometric == "MONOCHROME1"
    how = f"{chain}, {how}{', inverted (MONOCHROME1)' if inverted else ''}"
    unit = _unit(header, frame, modality)
    return Chain(**depth, modality=modality, voi=voi, inverted=inverted, unit=unit, how=how, measured=measured)


def _depth(header: Header, stored: Stored) -> _Depth:
    """Return what can be stored: bits, sign, floating point."""
    bits = int(number(header.dataset, "BitsStored") or 0)
    own = stored.dtype.itemsize * BYTE
    # decoded colour is as deep as its array: YBR was converted, palettes have their own depth
    if header.floating or bits < 1 or header.photometric not in {"MONOCHROME1", "MONOCHROME2", "RGB"}:
        bits = own
    if bits > MAX_INTEGER_BITS and not header.floating:
        raise InputError(f"integers must be stored in at most {MAX_INTEGER_BITS} bits, got {bits}")
    return {"bits": bits, "signed": stored.dtype.kind == "i", "floating": header.floating}


def _whole(depth: _Depth, modality: Rescale | Lut) -> Window:
    """Return the window over everything that can be stored."""
    if isinstance(modality, Lut):
        return Window(low=0.0, high=2.0**modality.bits - 1)
    lowest = -(2 ** (depth["bits"] - 1)) if depth["signed"] else 0
    ends = modality.apply(np.array([lowest, lowest + 2 ** depth["bits"] - 1], dtype=np.float64))
    return Window(low=float(ends.min()), high=float(ends.max()))


def _modality(header: Header, frame: int) -> tuple[Rescale | Lut, str]:
    """Return the first step, and its words."""
    for item in items(header.dataset, "ModalityLUTSequence")[:1]:
        if lut := _lut(header, item):
            return lut, f"modality LUT of {len(lut.entries)} entries"
    place = header.group(frame, "PixelValueTransformationSequence")
    slope, intercept = number(place, "RescaleSlope"), number(place, "RescaleIntercept")
    if not slope or intercept is None:
        return Rescale(), "no rescale"
    return Rescale(slope=slope, intercept=intercept), f"rescale {slope:g}*x{intercept:+g}"


def _unit(header: Header, frame: int, modality: Rescale | Lut) -> str:
    """Return the unit of modality values, if it is one that the standard knows."""
    place = header.group(frame, "PixelValueTransformationSequence")
    stated = text(place, "RescaleType") or text(header.dataset, "Units")
    if stated in UNITS:
        return stated
    if modality == Rescale():
        return "stored"
    return "HU" if text(header.dataset, "Modality") == "CT" and not stated else "rescaled"


def _stated(header: Header, frame: int) -> tuple[Window | Lut | None, str]:
    """Return the VOI LUT or the first window of the file, and its words; None where it has none that can be used."""
    place = header.group(frame, "FrameVOILUTSequence")
    for item in items(place, "VOILUTSequence")[:1]:
        if lut := _lut(header, item):
            return lut, f"VOI LUT of {len(lut.entries)} entries"
    centre, width = number(place, "WindowCenter"), number(place, "WindowWidth")
    if centre is None or width is None:
        return None, ""
    if width <= 0:
        return None, f"window of width {width:g} ignored, "
    return _window(centre, width, text(place, "VOILUTFunction").upper() or "LINEAR", floating=header.floating)


def _window(centre: float, width: float, function: str, *, floating: bool) -> tuple[Window, str]:
    """Return a window of the standard's three functions (PS3.3 C.11.2.1), and its words; others are read as LINEAR."""
    words = f"window {centre:g}/{width:g}"
    low, high = centre - width / 2, centre + width / 2
    if function == "SIGMOID":
        return Window(low=low, high=high, shape="sigmoid"), f"{words} (sigmoid)"
    if function == "LINEAR_EXACT":
        return Window(low=low, high=high), f"{words} (linear exact)"
    note = "linear" if function == "LINEAR" else "function not known, read as linear"
    if width < 1 or floating:  # LINEAR counts in whole levels: devices whose values have fractions mean LINEAR_EXACT
        return Window(low=low, high=high), f"{words} ({note}, of fractions: read as linear exact)"
    # from c - 0.5 - (w - 1) / 2 to c - 0.5 + (w - 1) / 2
    return Window(low=low, high=high - 1), f"{words} ({note})"


def _lut(header: Header, item: Dataset) -> Lut | None:
    """Return a modality or VOI lookup table, None where it is malformed."""
    descriptor = [int(part) for part in numbers(item, "LUTDescriptor")]
    if len(descriptor) != 3 or "LUTData" not in item:  # noqa: PLR2004 - count, first, bits
        return None
    count, first, bits = descriptor
    count = count % 2**16 or 2**16
    value = item["LUTData"].value
    if isinstance(value, bytes):
        order = "<" if header.little_endian else ">"
        dtype = f"{order}u2" if len(value) >= 2 * count else "u1"
        entries = np.frombuffer(value[: len(value) // np.dtype(dtype).itemsize * np.dtype(dtype).itemsize], dtype)
    else:
        entries = np.atleast_1d(np.asarray(value))
    entries = entries[:count].astype(np.int64)
    if len(entries) == 0 or not 1 <= bits <= 2 * BYTE:
        return None
    # some devices state fewer bits than they use
    bits = max(bits, int(entries.max()).bit_length())
    return Lut(first=first, entries=entries, bits=bits)


def _extent(header: Header, stored: Stored, modality: Rescale | Lut) -> tuple[float, float]:
    """Return the smallest and largest modality value of the instance."""
    if header.frames == 1:
        return _ends([_unpadded(header, stored, modality)])
    state = header.path.stat()
    return _extent_of_frames(header.path, state.st_mtime_ns, state.st_size)


@lru_cache(maxsize=4096)
def _extent_of_frames(path: Path, _modified: int, _size: int) -> tuple[float, float]:
    """Decode every frame once, one at a time; kept for the next frame that is read from the file."""
    header = open_header(path)
    frames = range(header.frames)
    return _ends(_unpadded(header, stored_values(header, frame), _modality(header, frame)[0]) for frame in frames)


def _ends(frames: Iterable[Float[np.ndarray, "..."]]) -> tuple[float, float]:
    ends = np.array([(values.min(), values.max()) for values in frames if values.size]).reshape(-1, 2)
    return (float(ends[:, 0].min()), float(ends[:, 1].max())) if len(ends) else (0.0, 0.0)


def _unpadded(header: Header, stored: Stored, modality: Rescale | Lut) -> Float[np.ndarray, " value"]:
    """Return the finite modality values of pixels that are not padding; of all, where all are padding."""
    padding = number(header.dataset, "PixelPaddingValue")
    if padding is not None:
        other = number(header.dataset, "PixelPaddingRangeLimit")
        low, high = sorted((padding, padding if other is None else other))
        inside = stored[(stored < low) | (stored > high)]
        stored = inside if inside.size else stored
    values = modality.apply(stored.astype(np.float64)).ravel()
    return values[np.isfinite(values)]
