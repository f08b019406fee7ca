"""Files of masks: numbers of structures that come back as they were when the file is read as a mask."""

from pathlib import Path

import numpy as np

from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.masks import Mask
from aseptic.data.png import encode_png

BINARY_MASK = (0, 255)
"""Values of a mask drawn in black and white; they mean outside and inside, not classes 0 and 255."""
LARGEST = 65535
"""Largest number that a PNG holds."""
NOTE = "Segmentation mask"


def write_mask_png(mask: Mask, target: Path) -> Path:
    """Write a PNG whose levels are the numbers, of 8 bits where they are below 255; return its path.

    Raises:
        InputError: The mask is no picture, or a number does not fit.
    """
    low, high = (int(end) for end in mask.aminmax())
    if mask.ndim != 2 or not 0 <= low <= high <= LARGEST:  # noqa: PLR2004 - row, column
        raise InputError(
            f"a mask that is written as PNG must be a picture of numbers in 0..{LARGEST}, "
            f"got {[*mask.shape]} with {low}..{high}"
        )
    bits = 8 if high < BINARY_MASK[1] else 16
    path = target.with_name(f"{target.name}.png")
    path.write_bytes(encode_png(mask.numpy().astype(np.uint16)[..., None], bits, NOTE))
    return path


def write_mask_like(mask: Mask, target: Path, like: Path, frame: int | None, options: ReadOptions) -> Path:
    """Write a copy of a NIfTI mask with other numbers, in its own place in space; return its path.

    Args:
        mask: The numbers.
        target: Where to, without an ending.
        like: The mask whose header is kept; of several frames only ``frame`` is replaced.
        frame: Frame or slice of the image.
        options: How files are read.

    Raises:
        InputError: The type of the voxels cannot hold a number, or the file cannot be marked as derived.
    """
    from aseptic.data.nifti_write import write_voxels  # noqa: PLC0415 - nibabel only where there is NIfTI

    path = target.with_name(f"{target.name.removesuffix('.gz').removesuffix('.nii')}.nii.gz")
    return write_voxels(mask.numpy(), path, like=like, frame=frame, options=options, note=NOTE)
