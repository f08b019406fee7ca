"""Pictures that triggers are made from: read from files, whose content a record can pin."""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.canon import content_key, file_sha256
from aseptic.core.errors import InputError
from aseptic.data.base import ReadOptions
from aseptic.data.formats import find_format
from aseptic.ops.images import adapt_channels, resize

Pattern = Float[Tensor, "channel *space"]
"""Values in [0, 1]."""
Stamp = tuple[object, ...] | None
"""What changes when a file is written, or a file of a folder; None without one that can be seen."""
DIGITS = 64
"""Hexadecimal digits of a SHA-256."""
PLANE = 2
"""Space axes of a picture."""


def check_pin(name: str, file: str | None, digest: str | None) -> None:
    """Raise `InputError` where a hash comes without its file, or is none; ``name`` is the setting that holds it."""
    if digest is None:
        return
    if file is None:
        kind = "an image" if name == "sha256" else f"a {name.removesuffix('_sha256')}"
        raise InputError(f"{name} must come with {kind}, got none")
    if len(digest) != DIGITS or set(digest) - set("0123456789abcdef"):
        raise InputError(f"{name} must be {DIGITS} hexadecimal digits in lower case, got {digest!r}")


def pin(name: str, file: str, digest: str | None) -> str:
    """Return the SHA-256 of what a setting names: of an ``image`` its bytes, of a ``pool`` its names and their hashes.

    Raises:
        InputError: There is no picture, or not the content that was pinned before.
    """
    if name == "pool":
        return _folder_sha256(pictures_in(file, digest, stamp(file)))
    read_picture(file, digest, stamp(file))
    return file_sha256(Path(file))


def stamp(file: str | None) -> Stamp:
    """Return what changes when the file is written: its time and length; of a folder, those of all its files."""
    if file is None:
        return None
    if (path := Path(file)).is_dir():
        with os.scandir(path) as entries:
            return tuple(sorted((one.name, *_written(one.stat())) for one in entries if one.is_file()))
    return _written(path.stat()) if path.is_file() else None


def _written(found: os.stat_result) -> tuple[int, int]:
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=8)
def read_picture(image: str, sha256: str | None, seen: Stamp) -> Pattern:
    """Return the first image of a file, of the size that is stored; ``seen`` forgets it when the file changes.

    Raises:
        InputError: The file cannot be read, or is not the one that was pinned.
    """
    del seen
    path, options = Path(image), ReadOptions()
    try:
        form = find_format(path)
        pixels = form.read(path, form.probe(path, options)[0].index, options).pixels
    except InputError as error:
        raise InputError(f"image must be a file that can be read, got {image!r}: {error}") from error
    if sha256 is not None and (found := file_sha256(path)) != sha256:
        raise InputError(f"image must be the file with the SHA-256 {sha256}, got {image!r} with {found}")
    return pixels


@lru_cache(maxsize=8)
def pictures_in(folder: str, sha256: str | None, seen: Stamp) -> tuple[str, ...]:
    """Return the pictures of a folder, without those of folders in it; ``seen`` forgets them when one changes.

    Raises:
        InputError: There are none, or they are not those that were pinned.
    """
    del seen
    path = Path(folder)
    if not path.is_dir():
        raise InputError(f"pool must be a folder of pictures, got {folder!r}")
    found = tuple(str(one) for one in sorted(path.iterdir()) if one.is_file() and _is_picture(one))
    if not found:
        raise InputError(f"pool must be a folder of pictures, got {folder!r} with none")
    if sha256 is not None and (now := _folder_sha256(found)) != sha256:
        raise InputError(f"pool must be the folder with the SHA-256 {sha256}, got {folder!r} with {now}")
    return found


def _is_picture(path: Path) -> bool:
    try:
        find_format(path)
    except InputError:
        return False
    return not path.name.startswith(".")


def _folder_sha256(files: Sequence[str]) -> str:
    return content_key({Path(one).name: file_sha256(Path(one)) for one in files})


def fitted(pixels: Pattern, channels: int, space: Sequence[int]) -> Float[Tensor, "fed *resized"]:
    """Return a picture at the size of an image, and with its channels.

    Raises:
        InputError: It has more space axes than the image, or channels that the image has not.
    """
    if pixels.ndim - 1 > len(space):
        raise InputError(f"image must have at most the {len(space)} space axes of the images, got {pixels.ndim - 1}")
    flat = pixels.ndim - 1 == PLANE < len(space)
    found = adapt_channels(resize(pixels[None], tuple(space[-PLANE:] if flat else space)), channels)
    return (found[:, :, None].expand(-1, -1, space[0], -1, -1) if flat else found)[0].clamp(0, 1)


def picture_of(pool: str, sha256: str | None, rng: torch.Generator) -> Pattern:
    """Return one of the pictures of a folder, drawn at random.

    Raises:
        InputError: There are none, they are not those that were pinned, or the drawn one cannot be read.
    """
    files = pictures_in(pool, sha256, stamp(pool))
    chosen = files[int(torch.randint(len(files), (), generator=rng))]
    return read_picture(chosen, None, stamp(chosen))
