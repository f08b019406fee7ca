"""NIfTI-1 and NIfTI-2 images (and MGH, read only): whole volumes, or their slices as 2-D images."""

import gzip
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import Format, Frame, Loaded, ReadOptions
from aseptic.data.nifti_file import chain_of, open_volumes, stored_voxels
from aseptic.data.nifti_write import write_derived
from aseptic.data.sealed import sealed
from aseptic.data.window import parse_window

GZIP = b"\x1f\x8b"
HEADER = 352
NIFTI_1, NIFTI_2 = (344, b"n+1\0"), (4, b"n+2\0\r\n\x1a\n")
"""Where a header says what it is, and what it says."""
MGH_HEADER = 24
"""Bytes of the version and the five sizes."""
MGH_VERSION, MGH_TYPES = b"\0\0\0\x01", {0, 1, 3, 4, 10}


class Nifti(Format):
    """Volumes as stored, not turned: the affine in the header says where they lie, and is kept when writing.

    A volume is read as ``float32 [1, x, y, z]``, one of a single slice as ``[1, x, y]``, and with `ReadOptions.slices`
    every slice along that axis is an image. Time points are frames. Voxels that are not numbers are read as 0 and
    keep their stored value when writing. `aseptic.data.nifti_file.chain_of` says what ``auto`` and ``full`` mean.
    """

    name: ClassVar[str] = "nifti"
    suffixes: ClassVar[tuple[str, ...]] = (".nii", ".nii.gz", ".mgh", ".mgz")

    def claims(self, path: Path) -> bool:
        """Return whether the file, unpacked if need be, begins with a NIfTI or MGH header."""
        with path.open("rb") as file:
            first = file.read(HEADER)
        if first[:2] == GZIP:
            try:
                with gzip.open(path) as packed:
                    first = packed.read(HEADER)
            except (OSError, EOFError, zlib.error):
                return False
        if any(first[at : at + len(magic)] == magic for at, magic in (NIFTI_1, NIFTI_2)):
            return True
        if first[:4] != MGH_VERSION or len(first) < MGH_HEADER:
            return False
        sizes = np.frombuffer(first[4:MGH_HEADER], dtype=">i4")  # width, height, depth, frames, type
        return bool(sizes.min() >= 0) and int(sizes[4]) in MGH_TYPES

    def probe(self, path: Path, options: ReadOptions) -> Sequence[Frame]:
        """Return the volumes or slices that the header announces."""
        parse_window(options.window)
        volumes = open_volumes(path, options.slices)
        shape = (1, *volumes.space)
        if volumes.frames == 1:
            return [Frame(index=None, shape=shape)]
        return [Frame(index=index, shape=shape) for index in range(volumes.frames)]

    def read(self, path: Path, frame: int | None, options: ReadOptions) -> Loaded:
        """Read one volume or slice."""
        volumes = open_volumes(path, options.slices)
        stored = stored_voxels(volumes, frame)
        with sealed("the grey scale of the image cannot be worked out"):
            chain = chain_of(volumes, options)
            scale = chain.scale(lost=int(np.count_nonzero(~np.isfinite(stored))))
            pixels = torch.from_numpy(np.ascontiguousarray(chain.to_unit(stored))[None])
            return Loaded(pixels=pixels, scale=scale, spacing=volumes.spacing)

    def write(  # noqa: PLR0913 - the signature of `Format.write`
        self, pixels: Image, target: Path, *, source: Path, frame: int | None, options: ReadOptions, note: str
    ) -> Path:
        """Write a copy of the whole file in which this frame is replaced and the description says what it is."""
        volumes = open_volumes(source, options.slices)
        return write_derived(pixels, target, volumes=volumes, frame=frame, options=options, note=note)

    def settle(self, pixels: Image, path: Path, frame: int | None, options: ReadOptions) -> Image:
        """Return the pixels on the levels of the volume, whose scaling may space them unevenly."""
        volumes = open_volumes(path, options.slices)
        stored = stored_voxels(volumes, frame)
        with sealed("the grey scale of the image cannot be worked out"):
            chain = chain_of(volumes, options)
            levels = chain.to_unit(chain.to_stored(pixels[0].numpy(), stored))
            return torch.from_numpy(np.ascontiguousarray(levels)[None])


def read_mask(path: Path, frame: int | None = None, slices: int | None = None) -> Int[Tensor, "*space"]:
    """Return the whole numbers of a label volume, or of one of its slices, exactly.

    Raises:
        InputError: The file cannot be read, or a voxel is not a whole number.
    """
    volumes = open_volumes(path, slices)
    values = volumes.rescale.apply(stored_voxels(volumes, frame).astype(np.float64))
    whole = np.isfinite(values) & (values == np.rint(values))
    if not whole.all():
        raise InputError(f"a mask must hold whole numbers, got {values[~whole].flat[0]:g}")
    return torch.from_numpy(np.ascontiguousarray(values).astype(np.int64))
