"""NIfTI and MGH files: what they hold, known from the header alone, and their voxels as stored."""

import math
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from jaxtyping import Shaped
from nibabel.arrayproxy import ArrayProxy

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.chain import Chain, Rescale
from aseptic.data.sealed import sealed
from aseptic.data.window import Window, parse_window

Voxels = Shaped[np.ndarray, "*space"]
"""Stored values of one frame, before any scaling."""
SPACE = 3
AXES = (0, 1, 2)
COMPRESSED = {".gz", ".mgz", ".bz2"}
MILLIMETRES = {"meter": 1000.0, "mm": 1.0, "micron": 0.001, "unknown": 1.0}
MAX_VOXELS = 2**31
"""Largest file that is opened, in voxels over all time points."""
MAX_VOLUME = 2**29
"""Largest volume that is read, in voxels (812 x 812 x 812)."""
BYTE, MAX_LEVELS_BITS = 8, 16


@dataclass(frozen=True, kw_only=True, eq=False)
class Volumes:
    """One file: volumes of one size, as many as time points (and further axes)."""

    path: Path
    """The file."""
    header: Any
    """nibabel's header."""
    shape: tuple[int, ...]
    """As stored, at least three axes."""
    voxels: ArrayProxy
    """Stored values, not yet scaled, read from the file on indexing."""
    rescale: Rescale
    """Voxel values are ``slope * stored + intercept``."""
    slices: int | None
    """Axis along which volumes are cut into 2-D images."""

    @property
    def space(self) -> tuple[int, ...]:
        """Size of one frame: a cut volume, or one of a single slice, is a 2-D image."""
        flat = self._flat
        return tuple(size for axis, size in enumerate(self.shape[:SPACE]) if axis != flat)

    @property
    def frames(self) -> int:
        """Number of frames; time passes slower than slices."""
        return math.prod(self.shape[SPACE:]) * (1 if self.slices is None else self.shape[self.slices])

    @property
    def spacing(self) -> tuple[float, ...] | None:
        """Millimetres along each axis of `space`, where the header says so."""
        zooms = [float(zoom) for zoom in self.header.get_zooms()[:SPACE]]
        zooms += [1.0] * (SPACE - len(zooms))
        if not all(math.isfinite(zoom) and zoom > 0 for zoom in zooms):
            return None
        try:
            unit = MILLIMETRES.get(self.header.get_xyzt_units()[0], 1.0)
        except (AttributeError, KeyError):  # MGH has no units, it is millimetres; a code that is not known
            unit = 1.0
        flat = self._flat
        return tuple(zoom * unit for axis, zoom in enumerate(zooms) if axis != flat)

    def place(self, frame: int | None) -> tuple[int | slice, ...]:
        """Return the index of a frame in `shape`.

        Raises:
            InputError: There is no such frame, or there are several and none is named.
        """
        if frame is None and self.frames == 1:
            frame = 0
        if frame is None or not 0 <= frame < self.frames:
            raise InputError(f"frame must be one of 0 to {self.frames - 1}, got {frame}")
        volume, cut = divmod(frame, 1 if self.slices is None else self.shape[self.slices])
        index: list[int | slice] = [slice(None)] * SPACE
        if self._flat is not None:
            index[self._flat] = cut
        rest = np.unravel_index(volume, self.shape[SPACE:]) if self.shape[SPACE:] else ()
        return (*index, *(int(part) for part in rest))

    @property
    def _flat(self) -> int | None:
        """Axis that a frame does not have."""
        return 2 if self.slices is None and self.shape[2] == 1 else self.slices


def open_volumes(path: Path, slices: int | None) -> Volumes:
    """Parse the header and check that the voxels can be what it says.

    Raises:
        InputError: Not a grid of grey voxels, too large, cut off, or ``slices`` is not an axis.
    """
    if slices is not None and slices not in AXES:
        raise InputError(f"slices must be None, 0, 1 or 2, got {slices}")
    with sealed("the NIfTI header cannot be parsed"):
        image = nib.load(path, mmap=False)
        if not isinstance(image, nib.Nifti1Image | nib.MGHImage):
            raise InputError(
                f"holds no image: it is {type(image).__name__.removesuffix('Image')}, not a grid of voxels"
            )
        proxy: Any = image.dataobj
        shape = tuple(int(size) for size in image.shape)
        if not shape or min(shape) < 1:
            raise InputError(f"holds no image: its size is {list(shape)}")
        shape += (1,) * (SPACE - len(shape))
        _check(path, proxy, shape)
        # scaled by hand: slope 1 and intercept 0 make nibabel hand out what is stored, slice by slice
        spec = (shape, proxy.dtype, proxy.offset, 1.0, 0.0)
        voxels = ArrayProxy(str(path), spec, mmap=False)  # type: ignore[no-untyped-call]
        slope, intercept = float(proxy.slope), float(proxy.inter)
        if not (math.isfinite(slope) and math.isfinite(intercept) and slope):
            slope, intercept = 1.0, 0.0
        rescale = Rescale(slope=slope, intercept=intercept)
        return Volumes(path=path, header=image.header, shape=shape, voxels=voxels, rescale=rescale, slices=slices)


def _check(path: Path, proxy: ArrayProxy, shape: tuple[int, ...]) -> None:
    """Refuse what is not grey, what would exhaust the memory and what is cut off."""
    if proxy.dtype.kind not in "iuf":
        raise InputError(f"voxels must be integers or floating-point numbers, got {proxy.dtype.name}")
    if math.prod(shape) > MAX_VOXELS or math.prod(shape[:SPACE]) > MAX_VOLUME:
        raise InputError(
            f"a file must have at most {MAX_VOLUME} voxels a volume and {MAX_VOXELS} in all, got {list(shape)}"
        )
    there, needed = path.stat().st_size - proxy.offset, math.prod(shape) * proxy.dtype.itemsize
    if path.suffix.lower() not in COMPRESSED and there < needed:
        raise InputError(f"the voxels end early: {max(there, 0)} of {needed} bytes")


def stored_voxels(volumes: Volumes, frame: int | None) -> Voxels:
    """Read one frame as stored.

    Raises:
        InputError: There is no such frame, or the file is cut off.
    """
    place = volumes.place(frame)
    with sealed("the voxels cannot be read; the file may be cut off"):
        stored = np.asarray(volumes.voxels[place])
        return stored.astype(stored.dtype.newbyteorder("="), copy=False)


def chain_of(volumes: Volumes, options: ReadOptions) -> Chain:
    """Return the way from stored values to [0, 1], the same for every frame of the file.

    ``auto`` is the display range of the header (``cal_min`` to ``cal_max``), else the smallest to the largest finite
    voxel of the whole file. ``full`` is all that can be stored for integers of up to 16 bits, else that same range.
    """
    window = parse_window(options.window)
    kind, bits = volumes.voxels.dtype.kind, volumes.voxels.dtype.itemsize * BYTE
    slope, intercept = volumes.rescale.slope, volumes.rescale.intercept
    how, measured = f"window {options.window} (asked for)", False
    if window is None and options.window == "auto":
        window, how = _display(volumes), "display range of the header"
    if window is None and options.window == "full" and kind != "f" and bits <= MAX_LEVELS_BITS:
        lowest = -(2 ** (bits - 1)) if kind == "i" else 0
        low, high = sorted(slope * end + intercept for end in (lowest, lowest + 2**bits - 1))
        window, how = Window(low=low, high=high), f"full stored range of {bits} bits"
    if window is None:
        low, high = measured_range(volumes)
        window, measured = Window(low=low, high=high), True
        how = f"smallest to largest voxel, {low:g} to {high:g}"
    scaling = "no scaling" if volumes.rescale == Rescale() else f"scaled {slope:g}*x{intercept:+g}"
    return Chain(
        bits=bits,
        signed=kind == "i",
        floating=kind == "f",
        modality=volumes.rescale,
        voi=window,
        unit="stored" if volumes.rescale == Rescale() else "scaled",
        measured=measured,
        how=f"{scaling}, {how}",
    )


def _display(volumes: Volumes) -> Window | None:
    """Return the display range of the header, None where it has none."""
    if "cal_max" not in volumes.header:
        return None
    low, high = float(volumes.header["cal_min"]), float(volumes.header["cal_max"])
    return Window(low=low, high=high) if math.isfinite(low) and math.isfinite(high) and low < high else None


def measured_range(volumes: Volumes) -> tuple[float, float]:
    """Return the smallest and largest finite voxel of the file, widened to the next float32 as headers hold it."""
    state = volumes.path.stat()
    low, high = sorted(volumes.rescale.apply(np.array(_range(volumes.path, state.st_mtime_ns, state.st_size))).tolist())
    narrow_low, narrow_high = np.float32(low), np.float32(high)
    if float(narrow_low) > low:
        narrow_low = np.nextafter(narrow_low, np.float32(-np.inf))
    if float(narrow_high) < high:
        narrow_high = np.nextafter(narrow_high, np.float32(np.inf))
    return float(narrow_low), float(narrow_high) if narrow_high > narrow_low else float(narrow_low) + 1


@lru_cache(maxsize=4096)
def _range(path: Path, _modified: int, _size: int) -> tuple[float, float]:
    """Read every volume once, one at a time; kept for the next frame that is read from the file."""
    volumes = open_volumes(path, None)
    low, high = math.inf, -math.inf
    for frame in range(volumes.frames):
        stored = stored_voxels(volumes, frame)
        finite = stored[np.isfinite(stored)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    return (low, high) if low <= high else (0.0, 0.0)
