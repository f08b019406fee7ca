"""What a file format offers: find the images in a file, read one into [0, 1], write one back."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from aseptic.core.types import Image
from aseptic.data.pseudonyms import pseudonym
from aseptic.ops.quantise import quantise

OPEN_NAMES = frozenset(
    {".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif", ".nii", ".gz", ".img", ".hdr", ".npz"}
)
"""Endings of files whose names may stand in a record; any other file may be DICOM, named after a patient."""


@dataclass(frozen=True, kw_only=True)
class ReadOptions:
    """Choices that change what [0, 1] means or what counts as one image."""

    window: str = "auto"
    """Grey range: ``auto`` (the file's own first VOI window or LUT, else its full range), ``full``, or ``CENTRE/WIDTH``
    in modality units (DICOM) or voxel values (NIfTI)."""
    slices: int | None = None
    """NIfTI: cut volumes into 2-D images along this axis (0, 1 or 2); None keeps volumes whole."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What [0, 1] means for one image; small, and written beside every result."""

    bits: int
    """Stored bits of one sample (DICOM Bits Stored; 8 or 16 for PNG; 32 or 64 for floating point)."""
    step: float
    """Largest distance in [0, 1] between neighbouring stored values; 0 for floating-point storage."""
    low: float
    """Value that became 0, in the units of ``unit``."""
    high: float
    """Value that became 1, in the units of ``unit``."""
    unit: str
    """``stored``, or the modality's unit, such as ``HU``."""
    inverted: bool = False
    """Whether larger stored values are darker (MONOCHROME1)."""
    how: str = ""
    """The chain in words: ``rescale 1*x-1024, window 40/400 (linear)``."""


@dataclass(frozen=True, kw_only=True)
class Loaded:
    """One image as the models see it, and what its numbers mean."""

    pixels: Image
    """``float32 [channel, *space]`` in [0, 1]; one channel for grey, three for colour."""
    scale: Scale
    """The way from stored values to [0, 1]."""
    spacing: tuple[float, ...] | None = None
    """Millimetres between neighbours along each space axis, where the file says so."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One image inside a file, known from the header alone."""

    index: int | None
    """Number of the frame, slice or time point; None where the file is one image."""
    shape: tuple[int, ...]
    """``(channel, *space)``."""


@dataclass(frozen=True, kw_only=True)
class Unreadable:
    """A file that was kept out, and why."""

    file: str
    """Path relative to the data folder, or the file's name."""
    reason: str
    """One sentence, free of identifiers."""
    split: str | None = None
    """``train``, ``val`` or ``test``, where the lists of a collection say so."""

    def public(self) -> "Unreadable":
        """Return it as it may stand in a record: the name of a file that may be DICOM becomes its pseudonym."""
        if Path(self.file.partition("#")[0]).suffix.lower() in OPEN_NAMES:
            return self
        return Unreadable(file=f"dcm-{pseudonym('file', self.file)}", reason=self.reason)


@dataclass(frozen=True, kw_only=True)
class Box:
    """One annotated object, in pixels of the stored image."""

    corners: tuple[float, float, float, float]
    """``(left, top, right, bottom)``."""
    label: int
    """Class number."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """One image of a set, before it is read."""

    id: str
    """Stable name that appears in rows and reports; never a patient identifier."""
    path: Path | None = None
    """File it lives in; None for images that are generated or held in memory."""
    frame: int | None = None
    """Which image of the file."""
    label: int | tuple[float, ...] | None = None
    """Class number, or one value a finding (NaN = unknown)."""
    patient: str | None = None
    """Pseudonym of the patient, where known."""
    split: str | None = None
    """``train``, ``val`` or ``test``, where given."""
    mask: Path | None = None
    """Segmentation mask, where given."""
    boxes: tuple[Box, ...] = ()
    """Annotated objects, where given."""
    space: tuple[int, ...] | None = None
    """Pixels along each space axis of the stored image, where its header has been read."""


class Format(ABC):
    """One file format. Adding a format is one module and one line in `aseptic.data.formats.FORMATS`."""

    name: ClassVar[str]
    """Short name: ``dicom``."""
    suffixes: ClassVar[tuple[str, ...]]
    """Lower-case endings it claims: ``(".dcm",)``."""

    @abstractmethod
    def claims(self, path: Path) -> bool:
        """Return whether the file looks like this format, by its first bytes rather than its name."""

    @abstractmethod
    def probe(self, path: Path, options: ReadOptions) -> Sequence[Frame]:
        """Return the images in the file from its header, without decoding pixels.

        Raises:
            InputError: The file holds no image, or cannot be parsed; the message says which and is free of identifiers.
        """

    @abstractmethod
    def read(self, path: Path, frame: int | None, options: ReadOptions) -> Loaded:
        """Decode one image.

        Raises:
            InputError: The pixels cannot be decoded; the message gives the reason.
        """

    @abstractmethod
    def write(  # noqa: PLR0913 - a source, what changed in it and where it goes
        self, pixels: Image, target: Path, *, source: Path, frame: int | None, options: ReadOptions, note: str
    ) -> Path:
        """Write ``pixels`` (of the source's own shape) as a derived copy of ``source`` and return the path written.

        Read back with the same options, the image is ``pixels`` to within half a stored level. ``note`` says in words
        what was done to the image; a format with headers stores it in them.

        Raises:
            InputError: The shape is not the source's, or values leave [0, 1].
        """

    def settle(self, pixels: Image, path: Path, frame: int | None, options: ReadOptions) -> Image:
        """Return the pixels as `read` would find them once `write` has stored them as a copy of the image at ``path``.

        Raises:
            InputError: The image cannot be decoded.
        """
        step = self.read(path, frame, options).scale.step
        return quantise(pixels[None], 1 / step)[0] if step else pixels
