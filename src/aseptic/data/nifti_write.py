"""Writing an attacked volume into a copy of its NIfTI file; everything else keeps its bytes."""

import gzip
import io
import math
import os
from pathlib import Path

import nibabel as nib
import numpy as np
from jaxtyping import Int

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import ReadOptions
from aseptic.data.nifti_file import Volumes, chain_of, open_volumes, stored_voxels
from aseptic.data.png import check_pixels
from aseptic.data.sealed import sealed
from aseptic.data.window import Window

MARK = "ADVERSARIAL TEST IMAGE, NOT FOR DIAGNOSIS. "
DESCRIPTION_BYTES = 79
"""Length of ``descrip``, without the zero at its end."""


def write_derived(  # noqa: PLR0913 - as `Format.write`, with the source already parsed
    pixels: Image, target: Path, *, volumes: Volumes, frame: int | None, options: ReadOptions, note: str
) -> Path:
    """Write a copy of the source's file with one frame replaced, and return the path.

    Where [0, 1] was measured on the voxels, the display range of the header (``cal_min``, ``cal_max``) is set to it, so
    that the copy is read through the same range.

    Raises:
        InputError: Shape or range of the pixels, a format that cannot be marked, or a range that cannot be kept.
    """
    check_pixels(pixels, (1, *volumes.space))
    _check_target(target, volumes)
    old = stored_voxels(volumes, frame)
    with sealed("the derived volume cannot be written"):
        chain = chain_of(volumes, options)
        new = chain.to_stored(pixels[0].detach().cpu().float().numpy(), old)
        window = chain.voi if chain.measured and isinstance(chain.voi, Window) else None
        data = _patched(volumes, frame, new, note, window if options.window == "auto" else None)
        if window is not None and options.window == "full":
            _check_range(volumes, frame, new, window)
        _save(data, target)
    return target


def write_voxels(  # noqa: PLR0913 - as `write_derived`
    numbers: Int[np.ndarray, "*space"], target: Path, *, like: Path, frame: int | None, options: ReadOptions, note: str
) -> Path:
    """Write a copy of a label volume with other whole numbers in one frame, and return the path.

    Raises:
        InputError: The size differs, the type of the voxels cannot hold a number, or the format cannot be marked.
    """
    volumes = open_volumes(like, options.slices)
    frame = frame if volumes.frames > 1 else None
    _check_target(target, volumes)
    if numbers.shape != volumes.space:
        raise InputError(f"the mask must have the size of its file, {list(volumes.space)}, got {list(numbers.shape)}")
    rescale, kind = volumes.rescale, volumes.voxels.dtype
    exact = (numbers.astype(np.float64) - rescale.intercept) / rescale.slope
    if kind.kind != "f":
        exact = np.clip(np.rint(exact), np.iinfo(kind).min, np.iinfo(kind).max)
    stored = exact.astype(kind)
    if not np.array_equal(np.rint(rescale.apply(stored.astype(np.float64))), numbers):
        raise InputError(f"a mask stored as {kind.name} cannot hold the numbers {numbers.min()}..{numbers.max()}")
    with sealed("the derived mask cannot be written"):
        _save(_patched(volumes, frame, stored, note, None), target)
    return target


def _check_target(target: Path, volumes: Volumes) -> None:
    if target.exists() and target.samefile(volumes.path):
        raise InputError("the target must not be the source itself")
    if not isinstance(volumes.header, nib.Nifti1Header):
        raise InputError("an MGH file has no place for a mark that it is derived; convert the source to NIfTI")


def _patched(volumes: Volumes, frame: int | None, new: np.ndarray, note: str, window: Window | None) -> bytes:
    """Return the bytes of the source with another frame, description and display range."""
    raw = volumes.path.read_bytes()
    data = bytearray(gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw)
    # parsed anew: the header of an opened image has lost its scaling
    header = type(volumes.header).from_fileobj(io.BytesIO(bytes(data)), check=False)
    header["descrip"] = f"{MARK}{note}".encode("ascii", "replace")[:DESCRIPTION_BYTES]
    if window is not None:
        header["cal_min"], header["cal_max"] = window.low, window.high
    data[: len(header.binaryblock)] = header.binaryblock
    proxy = volumes.voxels
    count = math.prod(volumes.shape)
    voxels = np.frombuffer(data, dtype=proxy.dtype, count=count, offset=proxy.offset).reshape(volumes.shape, order="F")
    voxels[volumes.place(frame)] = new
    return bytes(data)


def _check_range(volumes: Volumes, frame: int | None, new: np.ndarray, window: Window) -> None:
    """Refuse a copy whose own smallest and largest voxel differ: read back, every grey level would shift."""
    voxels = np.asarray(volumes.voxels).copy()
    voxels[volumes.place(frame)] = new
    finite = voxels[np.isfinite(voxels)].astype(np.float64)
    low, high = sorted(volumes.rescale.apply(np.array([finite.min(), finite.max()])).tolist())
    if not np.allclose([low, high], [window.low, window.high], rtol=0, atol=1e-6 * window.width):
        raise InputError(
            f"read as 'full', [0, 1] is {window.low:g} to {window.high:g}, the new voxels span {low:g} to {high:g}: "
            "read with window auto or CENTRE/WIDTH, which can be written back"
        )


def _save(data: bytes, target: Path) -> None:
    """Write the file whole or not at all, compressed if its name says so."""
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        part.write_bytes(gzip.compress(data, mtime=0) if target.suffix == ".gz" else data)
        part.replace(target)
    finally:
        part.unlink(missing_ok=True)
