"""Where the pixels of a data set live: in files, or in arrays in memory."""

import hashlib
import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import torch
from jaxtyping import Int
from numpy.typing import NDArray
from torch import Tensor

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import Item, Loaded, ReadOptions, Scale
from aseptic.data.formats import find_format
from aseptic.data.mask_files import BINARY_MASK, LARGEST, write_mask_like, write_mask_png
from aseptic.data.masks import Mask
from aseptic.data.png import check_pixels, encode_png, to_levels
from aseptic.ops.quantise import quantise

DERIVED = "Derived image, not an original: "
"""Begins the description of every image that is written."""
COPIED = "an unchanged copy of one image of a larger file"
"""Describes an image that was taken out of a file of several."""
MASKS = "masks"
"""Folder that masks are written to."""
OTHER_MASKS = "derived_masks"
"""Folder that masks are written to which are not the image's own."""


class Source(ABC):
    """Reads, hashes and writes the images of a set."""

    @abstractmethod
    def read(self, item: Item) -> Loaded:
        """Return the image at its own size. Raises `InputError` with the reason where it cannot be decoded."""

    @abstractmethod
    def mask(self, item: Item) -> Int[Tensor, "*space"]:
        """Return the structure at each pixel, 0 outside all. Raises `InputError` where there is no readable mask."""

    @abstractmethod
    def digest(self, item: Item) -> str:
        """Return a hash of the stored content of image and mask, and of how they are read."""

    @abstractmethod
    def name(self, item: Item) -> str:
        """Return what the user calls the image: its file, relative to the data folder. Not for records."""

    @abstractmethod
    def write(self, item: Item, pixels: Image, folder: Path, note: str) -> Path:
        """Write ``pixels`` as a derived copy of the image, below ``folder``; return the path."""

    @abstractmethod
    def copy(self, item: Item, folder: Path) -> Path:
        """Put the image, unchanged, below ``folder``; return the path. A file that holds it alone keeps its bytes."""

    @abstractmethod
    def write_mask(self, item: Item, folder: Path) -> Path:
        """Write the mask of the image unchanged, below ``folder``; return the path."""

    @abstractmethod
    def write_numbers(self, item: Item, mask: Mask, folder: Path) -> Path:
        """Write another mask for the image, of the size of its own, below ``folder``; return the path."""

    @abstractmethod
    def settle(self, item: Item, pixels: Image) -> Image:
        """Return pixels of the image's own shape as they would be read back once `write` has stored them."""

    @abstractmethod
    def reread(self, item: Item, path: Path) -> Loaded:
        """Return what `write` stored of the image at ``path``, read as the image itself is read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FileSource(Source):
    """Images in files, read by their `Format`."""

    root: Path
    """Folder that names are relative to."""
    options: ReadOptions = field(default_factory=ReadOptions)
    """How files are read."""
    hashes: dict[Path, str] = field(default_factory=dict)
    """SHA-256 of the files hashed so far."""

    def read(self, item: Item) -> Loaded:
        """Return the image at its own size."""
        path = _path(item)
        return find_format(path).read(path, item.frame, self.options)

    def mask(self, item: Item) -> Int[Tensor, "*space"]:
        """Return the mask; a black and white one (only 0 and 255) becomes 0 and 1."""
        if item.mask is None:
            raise InputError(f"{item.id} has no mask")
        # A mask is stored numbers, not grey levels: undo the scale of its format over the whole range.
        options = replace(self.options, window="full")
        form = find_format(item.mask)
        frames = form.probe(item.mask, options)
        loaded = form.read(item.mask, item.frame if len(frames) > 1 else frames[0].index, options)
        low, high = loaded.scale.low, loaded.scale.high
        numbers = (low + loaded.pixels[0].double() * (high - low)).round().long()
        return (numbers > 0).long() if bool(torch.isin(numbers, torch.tensor(BINARY_MASK)).all()) else numbers

    def digest(self, item: Item) -> str:
        """Return the hashes of the files, the frame and the options."""
        mask = self._hash(item.mask) if item.mask else ""
        return f"{self._hash(_path(item))}#{item.frame}|{self.options.window}|{self.options.slices}|{mask}"

    def name(self, item: Item) -> str:
        """Return the file relative to the data folder, with the frame."""
        path = _path(item)
        shown = path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()
        return shown if item.frame is None else f"{shown}#{item.frame}"

    def write(self, item: Item, pixels: Image, folder: Path, note: str) -> Path:
        """Write the image through its format, in sub-folders as in the data folder."""
        source = _path(item)
        form, target = find_format(source), self._target(item, folder)
        return form.write(pixels, target, source=source, frame=item.frame, options=self.options, note=DERIVED + note)

    def copy(self, item: Item, folder: Path) -> Path:
        """Copy the file; a frame or slice of several becomes a file of its own, marked as derived."""
        if item.frame is not None:
            return self.write(item, self.read(item).pixels, folder, COPIED)
        return Path(shutil.copyfile(_path(item), self._target(item, folder)))

    def write_mask(self, item: Item, folder: Path) -> Path:
        """Copy the file of the mask, into sub-folders as in the data folder."""
        if item.mask is None:
            raise InputError(f"{item.id} has no mask")
        inside = item.mask.is_relative_to(self.root)
        target = folder / (
            _inside(item.mask.relative_to(self.root).as_posix()) if inside else Path(MASKS, item.mask.name)
        )
        shutil.copyfile(item.mask, _ready(target))
        return target

    def write_numbers(self, item: Item, mask: Mask, folder: Path) -> Path:
        """Write the mask into a copy of the image's own where that is NIfTI, else as a PNG."""
        if item.mask is None:
            raise InputError(f"{item.id} has no mask")
        target = _ready(folder / OTHER_MASKS / _inside(item.id))
        if find_format(item.mask).name == "nifti":
            return write_mask_like(mask, target, item.mask, item.frame, self.options)
        return write_mask_png(mask, target)

    def settle(self, item: Item, pixels: Image) -> Image:
        """Return the pixels on the stored levels of the image."""
        path = _path(item)
        return find_format(path).settle(pixels, path, item.frame, self.options)

    def reread(self, item: Item, path: Path) -> Loaded:
        """Return the stored image; a file written from one frame of several may hold that frame alone."""
        form = find_format(path)
        frames = form.probe(path, self.options)
        return form.read(path, item.frame if len(frames) > 1 else frames[0].index, self.options)

    def _target(self, item: Item, folder: Path) -> Path:
        """Return where a copy of the image goes, in a folder that is there."""
        target = folder / _inside(item.id)
        if "." not in target.name:  # Not the source's own ending: that of a file named by its UID is a part of it.
            target = target.with_name(target.name + find_format(_path(item)).suffixes[0])
        if item.frame is not None and "#" in item.id:
            stem, dot, suffixes = target.name.removesuffix(f"#{item.frame}").partition(".")
            target = target.with_name(f"{stem}_{item.frame:04d}{dot}{suffixes}")
        return _ready(target)

    def _hash(self, path: Path) -> str:
        if path not in self.hashes:
            self.hashes[path] = file_sha256(path)
        return self.hashes[path]


@dataclass(frozen=True, kw_only=True, eq=False)
class MemorySource(Source):
    """Images in arrays: generated ones, and archives such as a MedMNIST ``.npz``."""

    arrays: tuple[NDArray[Any], ...]
    """Each ``[image, channel, *space]``: float32 in [0, 1], or uint8 or uint16 levels."""
    rows: Mapping[str, tuple[int, int]]
    """Id of an image to its array and its row."""
    masks: tuple[NDArray[Any], ...] = ()
    """Integer masks ``[image, *space]`` beside the arrays, or none."""
    spacing: tuple[float, ...] | None = None
    """Millimetres between neighbours along each space axis, where known."""

    def read(self, item: Item) -> Loaded:
        """Return the image as float32 in [0, 1]."""
        array, row = self.rows[item.id]
        stored = self.arrays[array][row]
        bits = self._bits(item)
        levels = 2**bits - 1
        pixels = torch.from_numpy(np.array(stored, dtype=np.float32))
        if np.issubdtype(stored.dtype, np.integer):
            pixels /= levels
        scale = Scale(
            bits=bits, step=1 / levels, low=0.0, high=float(levels), unit="stored", how=f"held in memory, {bits} bits"
        )
        return Loaded(pixels=pixels, scale=scale, spacing=self.spacing)

    def mask(self, item: Item) -> Int[Tensor, "*space"]:
        """Return the mask."""
        if not self.masks:
            raise InputError(f"{item.id} has no mask")
        array, row = self.rows[item.id]
        return torch.from_numpy(np.array(self.masks[array][row], dtype=np.int64))

    def digest(self, item: Item) -> str:
        """Return the hash of the stored values, their shape and type, and of the mask."""
        array, row = self.rows[item.id]
        stored = [held[array][row] for held in (self.arrays, self.masks) if held]
        digest = hashlib.sha256()
        for values in stored:
            digest.update(f"{values.dtype.str}{values.shape}".encode())
            digest.update(np.ascontiguousarray(values).tobytes())
        return digest.hexdigest()

    def name(self, item: Item) -> str:
        """Return the id: there is no file."""
        return item.id

    def write(self, item: Item, pixels: Image, folder: Path, note: str) -> Path:
        """Write a PNG (8 bits for 8-bit arrays, else 16), or NumPy's format with a note beside it for volumes."""
        array, row = self.rows[item.id]
        check_pixels(pixels, self.arrays[array][row].shape)
        bits = self._bits(item)
        target = folder / _inside(item.id)
        target.parent.mkdir(parents=True, exist_ok=True)
        levels = to_levels(pixels, bits)
        if pixels.ndim == 3 and len(pixels) in {1, 3}:  # noqa: PLR2004 - channel, row, column
            path = target.with_name(f"{target.name}.png")
            path.write_bytes(encode_png(levels, bits, DERIVED + note))
            return path
        path = target.with_name(f"{target.name}.npy")
        np.save(path, np.moveaxis(levels, -1, 0))
        path.with_suffix(".json").write_text(json.dumps({"description": DERIVED + note, "bits": bits}), "utf-8")
        return path

    def copy(self, item: Item, folder: Path) -> Path:
        """Write the image as it is."""
        return self.write(item, self.read(item).pixels, folder, COPIED)

    def write_mask(self, item: Item, folder: Path) -> Path:
        """Write a PNG whose levels are the numbers, or NumPy's format for volumes."""
        return self._write_mask(self.mask(item), folder / MASKS / _inside(item.id))

    def write_numbers(self, item: Item, mask: Mask, folder: Path) -> Path:
        """Write the mask as `write_mask` does, in a folder of its own."""
        return self._write_mask(mask, folder / OTHER_MASKS / _inside(item.id))

    def settle(self, item: Item, pixels: Image) -> Image:
        """Return the pixels on the levels that they would be written with."""
        return quantise(pixels[None], 2 ** self._bits(item) - 1)[0]

    def reread(self, item: Item, path: Path) -> Loaded:
        """Return the stored image."""
        scale = self.read(item).scale
        if path.suffix == ".npy":
            levels = np.load(path, allow_pickle=False).astype(np.float32)
            return Loaded(pixels=torch.from_numpy(levels / (2**scale.bits - 1)), scale=scale)
        form = find_format(path)
        return form.read(path, form.probe(path, ReadOptions())[0].index, ReadOptions())

    def _write_mask(self, mask: Mask, target: Path) -> Path:
        if mask.ndim == 2 and 0 <= int(mask.min()) <= int(mask.max()) <= LARGEST:  # noqa: PLR2004 - row, column
            return write_mask_png(mask, _ready(target))
        path = _ready(target).with_name(f"{target.name}.npy")
        np.save(path, mask.numpy())
        return path

    def _bits(self, item: Item) -> int:
        return 8 if self.arrays[self.rows[item.id][0]].dtype == np.uint8 else 16


def _path(item: Item) -> Path:
    if item.path is None:
        raise InputError(f"{item.id} has no file")
    return item.path


def _ready(target: Path) -> Path:
    """Return the path, in a folder that is there."""
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _inside(name: str) -> Path:
    """Return the id as a path that cannot leave the folder it is put in."""
    parts = PurePosixPath(name.replace("\\", "/").replace(":", "_")).parts
    return Path(*["_" if part == ".." else part for part in parts if part != "/"])
