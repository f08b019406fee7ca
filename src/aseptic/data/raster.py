"""PNG, JPEG, TIFF, BMP and GIF at the depth they are stored in."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from PIL import Image as Pillow
from PIL import ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import ImageFileDirectory_v2

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.base import Format, Frame, Loaded, ReadOptions, Scale
from aseptic.data.png import SAMPLES, SIGNATURE, check_pixels, decode_wide_png, encode_png, to_levels

KINDS = ("PNG", "JPEG", "TIFF", "BMP", "GIF")
"""What Pillow may open; its other decoders are not needed, and every decoder is a risk."""
STARTS = (SIGNATURE, b"\xff\xd8\xff", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+", b"GIF87a", b"GIF89a")
"""First bytes of PNG, JPEG, TIFF (and BigTIFF) and GIF."""
BMP_HEADERS = {12, 40, 52, 56, 64, 108, 124}
"""Lengths of the second header of a BMP file, in bytes."""
ORIENTATION, TURNED = 0x0112, {5, 6, 7, 8}
"""EXIF tag of the orientation, and its values that swap rows and columns."""
BITS_PER_SAMPLE, MIN_SAMPLE, MAX_SAMPLE, DESCRIPTION = 258, 340, 341, 270
"""TIFF 6.0 tags; the smallest and largest sample value say what 0 and 1 mean."""
DOUBLE = 12
"""TIFF type of a 64-bit floating-point number."""
GREY_MODES = {"1": 1, "L": 8, "I;16": 16, "I;16L": 16, "I;16B": 16, "I;16N": 16}
"""Pillow modes with one channel of whole levels, and their bits."""
RANGE_MODES = {"I", "F"}
"""Pillow modes of 32-bit samples, whose range is that of the file."""
GREY_ALPHA = 4
"""PNG colour type of grey with alpha."""


@dataclass(frozen=True)
class Raster(Format):
    """Files of Pillow's common formats; what is written is PNG at the source's depth, or TIFF for 32-bit samples.

    Grey stays one channel; palettes become colour; what is transparent becomes black; EXIF orientation is applied.
    [0, 1] is the whole range of the stored bits. For 32-bit samples it is the range that the TIFF tags state, else that
    of the image. `ReadOptions.window` says nothing here: these files have no modality units.
    """

    name: ClassVar[str] = "raster"
    suffixes: ClassVar[tuple[str, ...]] = (".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".gif")

    def claims(self, path: Path) -> bool:
        """Return whether the first bytes are those of one of the formats, and not of a DICOM file behind them."""
        with path.open("rb") as file:
            first = file.read(132)
        if first[128:132] == b"DICM":
            return False
        bitmap = first[:2] == b"BM" and int.from_bytes(first[14:18], "little") in BMP_HEADERS
        return bitmap or first.startswith(STARTS)

    def probe(self, path: Path, options: ReadOptions) -> Sequence[Frame]:
        """Return the pages of a TIFF, the frames of a GIF, else the one image."""
        del options
        with _reasons(), Pillow.open(path, formats=KINDS) as image:
            pages: int = getattr(image, "n_frames", 1) if image.format in {"TIFF", "GIF"} else 1
            frames = []
            for page in range(pages):
                image.seek(page)
                _check_depth(image)
                height, width = image.height, image.width
                if image.getexif().get(ORIENTATION) in TURNED:
                    height, width = width, height
                grey = image.mode in {*GREY_MODES, *RANGE_MODES, "LA", "La"} or _wide_colour(path) == GREY_ALPHA
                frames.append(Frame(index=page if pages > 1 else None, shape=(1 if grey else 3, height, width)))
        return frames

    def read(self, path: Path, frame: int | None, options: ReadOptions) -> Loaded:
        """Decode one image."""
        del options
        with _reasons():
            if _wide_colour(path) is not None:
                return _read_wide(path)
            with Pillow.open(path, formats=KINDS) as image:
                image.seek(frame or 0)
                _check_depth(image)
                tags = {tag: getattr(image, "tag_v2", {}).get(tag) for tag in (MIN_SAMPLE, MAX_SAMPLE)}
                upright = ImageOps.exif_transpose(image)
                return _read_range(upright, tags) if upright.mode in RANGE_MODES else _read_levels(upright)

    def write(  # noqa: PLR0913 - the contract's
        self, pixels: Image, target: Path, *, source: Path, frame: int | None, options: ReadOptions, note: str
    ) -> Path:
        """Write PNG with ``note`` as its description, or TIFF for 32-bit samples; the ending is added if it differs."""
        loaded = self.read(source, frame, options)
        check_pixels(pixels, tuple(loaded.pixels.shape))
        if loaded.scale.bits > 16:  # noqa: PLR2004 - beyond PNG
            path = target if target.suffix.lower() in {".tif", ".tiff"} else target.with_name(f"{target.name}.tif")
            _write_range(pixels, loaded.scale, path, note)
            return path
        path = target if target.suffix.lower() == ".png" else target.with_name(f"{target.name}.png")
        path.write_bytes(encode_png(to_levels(pixels, loaded.scale.bits), loaded.scale.bits, note))
        return path


@contextmanager
def _reasons() -> Iterator[None]:
    """Turn whatever a decoder raises on a bad file into one sentence without the file's name."""
    try:
        yield
    except InputError:
        raise
    except UnidentifiedImageError as error:
        raise InputError("cannot be decoded: the header is damaged") from error
    except (Pillow.DecompressionBombError, Pillow.DecompressionBombWarning, MemoryError) as error:
        raise InputError(f"is too large to be decoded safely: more than {Pillow.MAX_IMAGE_PIXELS} pixels") from error
    except FileNotFoundError as error:
        raise InputError("the file does not exist") from error
    except Exception as error:  # A decoder may raise anything on bytes made to break it.
        text = "" if getattr(error, "filename", None) else f": {error}"
        raise InputError(f"cannot be decoded: {type(error).__name__}{text}") from error


def _check_depth(image: Pillow.Image) -> None:
    """Refuse colour that Pillow would cut to 8 bits."""
    if image.format == "TIFF" and image.mode not in {*GREY_MODES, *RANGE_MODES}:
        bits = getattr(image, "tag_v2", {}).get(BITS_PER_SAMPLE, (8,))
        if max(bits) > 8:  # noqa: PLR2004 - a byte
            raise InputError(f"a TIFF in colour must have at most 8 bits a sample, got {max(bits)}; convert it to PNG")


def _wide_colour(path: Path) -> int | None:
    """Return the PNG colour type of a file with 16 bits that Pillow would cut to 8, else None."""
    with path.open("rb") as file:
        first = file.read(26)
    signature, bits, colour = first[:8], first[24:25], first[25:26]
    wide = signature == SIGNATURE and bits == b"\x10" and len(colour) == 1 and colour[0] in SAMPLES
    return colour[0] if wide else None


def _read_wide(path: Path) -> Loaded:
    """Decode a 16-bit PNG in colour or with alpha."""
    with Pillow.open(path, formats=("PNG",)) as image:  # refuses a bomb, and chunks with a wrong checksum
        image.verify()
    stored = decode_wide_png(path.read_bytes())
    pixels = torch.from_numpy(stored).movedim(-1, 0).double() / 65535
    how = ""
    if len(pixels) in {2, 4}:
        pixels, how = pixels[:-1] * pixels[-1:], ", over black"
    return Loaded(pixels=pixels.float(), scale=_levels(16, how))


def _read_levels(image: Pillow.Image) -> Loaded:
    """Return an image whose samples are 1, 8 or 16 bits."""
    bits, how = GREY_MODES.get(image.mode, 8), ""
    transparent = image.mode in {"LA", "La", "PA", "RGBA", "RGBa"} or "transparency" in image.info
    if transparent and bits == 8:  # noqa: PLR2004 - a byte
        grey = image.mode in {"L", "LA", "La"}
        clear = image.convert("RGBA")
        image = Pillow.alpha_composite(Pillow.new("RGBA", clear.size, "black"), clear).convert("L" if grey else "RGB")
        how = ", over black"
    elif image.mode not in {*GREY_MODES, "RGB"}:
        how = f", {image.mode} as RGB"
        image = image.convert("RGB")
    # Copied in the machine's byte order, and to floats in the last step only: this is where reading spends its time.
    stored = np.array(image, dtype=np.uint16 if bits > 8 else np.uint8)  # noqa: PLR2004 - a byte
    planes = torch.from_numpy(stored.reshape(*stored.shape[:2], -1)).movedim(-1, 0)
    pixels = planes.contiguous().float().div_(2**bits - 1)
    return Loaded(pixels=pixels, scale=_levels(bits, how))


def _read_range(image: Pillow.Image, tags: dict[int, Any]) -> Loaded:
    """Return an image of 32-bit samples, scaled from the range in the tags or, without, from its own."""
    stored = np.asarray(image).astype(np.float64)
    if not np.isfinite(stored).all():
        raise InputError(f"samples must be finite, got {int((~np.isfinite(stored)).sum())} that are not")
    low, high = (_first(tags[tag]) for tag in (MIN_SAMPLE, MAX_SAMPLE))
    how = "range of the TIFF tags"
    if low is None or high is None or low >= high:
        low, high, how = float(stored.min()), float(stored.max()), "range of the image"
    high = high if high > low else low + 1
    pixels = torch.from_numpy(((stored - low) / (high - low)).clip(0, 1)).float()[None]
    step = 1 / (high - low) if image.mode == "I" else 0.0
    return Loaded(pixels=pixels, scale=Scale(bits=32, step=step, low=low, high=high, unit="stored", how=how))


def _write_range(pixels: Image, scale: Scale, path: Path, note: str) -> None:
    values = scale.low + pixels[0].detach().cpu().double().numpy() * (scale.high - scale.low)
    stored = values.round().astype(np.int32) if scale.step else values.astype(np.float32)
    tags = ImageFileDirectory_v2()
    tags[DESCRIPTION] = note.encode("ascii", "replace").decode()
    for tag, value in ((MIN_SAMPLE, scale.low), (MAX_SAMPLE, scale.high)):
        tags.tagtype[tag] = DOUBLE
        tags[tag] = value
    Pillow.fromarray(stored).save(path, format="TIFF", tiffinfo=tags)


def _levels(bits: int, how: str) -> Scale:
    top = 2**bits - 1
    return Scale(bits=bits, step=1 / top, low=0.0, high=float(top), unit="stored", how=f"{bits} bits, full range{how}")


def _first(value: Any) -> float | None:  # noqa: ANN401 - a TIFF tag is a number or a tuple of them
    if isinstance(value, tuple):
        value = value[0] if value else None
    return None if value is None else float(value)
