"""The file formats that can be read and written back."""

from functools import cache
from pathlib import Path

from aseptic.core.errors import InputError
from aseptic.core.registry import Registry
from aseptic.data.base import Format

FORMATS: Registry[type[Format]] = Registry(
    "format",
    {
        "raster": "aseptic.data.raster:Raster",
        "dicom": "aseptic.data.dicom:Dicom",
        "nifti": "aseptic.data.nifti:Nifti",
    },
)
"""Tried in this order; the first that claims a file reads it."""


@cache
def get_format(name: str) -> Format:
    """Return the format called ``name``; its library is imported on first use.

    Raises:
        InputError: The name is unknown.
    """
    return FORMATS.load(name)()


def find_format(path: Path) -> Format:
    """Return the format that claims the file by its first bytes.

    Raises:
        InputError: The file is absent, empty, or of no known format.
    """
    try:
        with path.open("rb") as file:
            first = file.read(8)
    except OSError as error:
        raise InputError(f"cannot be opened: {error.strerror or type(error).__name__}") from error
    if not first:
        raise InputError("the file is empty")
    for name in FORMATS.table:
        if (form := get_format(name)).claims(path):
            return form
    raise InputError(f"format must be one of {', '.join(FORMATS.names())}; the file begins with {first!r}")
