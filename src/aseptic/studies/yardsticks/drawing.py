"""Pictures of examples: an image or a slice as pixels, with a map or contours over it."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from matplotlib import colormaps
from PIL import Image as Pillow
from scipy import ndimage
from torch import Tensor

from aseptic.core.types import Image

OVERLAY = 0.45
"""Opacity of a map over its image."""
SIDE = 256
"""Pixels that the longer side of a picture with contours has at least."""
LINE = 2
"""Width of the line of a box, in pixels of the picture."""
COLOURS = {
    "orange": (255, 176, 0),
    "blue": (0, 190, 255),
    "pink": (255, 80, 160),
    "green": (120, 220, 60),
    "violet": (170, 130, 255),
    "red": (255, 90, 50),
}
"""Colours of structures, in their order; told apart by brightness too."""
MIDDLE, REACH = 0.5, 0.5
"""Grey of no change, and how far from it the largest change is amplified to."""
Pixels = UInt8[np.ndarray, "row column 3"]


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Where the pictures of one example go, and which slice of a volume they show."""

    folder: Path
    """Folder of the cell."""
    name: str
    """Beginning of the file names."""
    where: int | None
    """Slice along the first space axis; None for a picture."""

    def cut(self, values: Tensor) -> Tensor:
        """Return the slice of ``[channel, *space]`` that is shown."""
        return values if self.where is None else values[:, self.where]

    def pixels(self, image: Image) -> Pixels:
        """Return an image, or its slice, in 8-bit colour."""
        return rgb(self.cut(image))

    def save(self, suffix: str, pixels: Pixels) -> str:
        """Write a PNG and return the name by which the page finds it."""
        name = f"{self.name}{suffix}.png"
        Pillow.fromarray(pixels).save(self.folder / name, optimize=True)
        return f"figures/{name}"


def rgb(image: Float[Tensor, "channel row column"]) -> Pixels:
    """Return an image in [0, 1] in 8-bit colour; grey is repeated."""
    levels = (image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)) * 255  # noqa: PLR2004 - colour
    pixels: Pixels = levels.round().byte().permute(1, 2, 0).numpy()
    return pixels


def amplification(change: Float[Tensor, "..."]) -> int:
    """Return how many times a change is amplified to be seen: as often as fits between mid-grey and white, or once."""
    largest = float(change.abs().max())
    return max(int(REACH / largest), 1) if largest else 1


def overlay(base: Pixels, found: Float[Tensor, "row column"]) -> Pixels:
    """Return the image in grey with the map over it; the map is scaled to its 99.5th percentile."""
    values = found.numpy()
    top = float(np.percentile(values, 99.5)) or 1.0
    colours = colormaps["inferno"](np.clip(values / top, 0, 1))[..., :3] * 255
    grey = base.mean(2, keepdims=True)
    mixed: Pixels = ((1 - OVERLAY) * grey + OVERLAY * colours).round().astype(np.uint8)
    return mixed


def outlined(
    base: Pixels, labels: Int[np.ndarray, "row column"], structures: Sequence[int]
) -> UInt8[np.ndarray, "tall wide 3"]:
    """Return the image, enlarged to `SIDE` pixels, with the outline of each structure in its colour."""
    factor = max(-(-SIDE // max(base.shape[:2])), 1)
    large, numbers = (values.repeat(factor, 0).repeat(factor, 1) for values in (base, labels))
    drawn = large.copy()
    for structure, colour in zip(structures, cycle(COLOURS.values())):
        drawn[_edge(numbers == structure)] = colour
    return drawn


def boxed(base: Pixels, objects: Float[np.ndarray, "object number"]) -> UInt8[np.ndarray, "tall wide 3"]:
    """Return the image, enlarged to `SIDE` pixels, with a box about each object in the colour of its class.

    Args:
        base: The image.
        objects: Label, left, top, right, bottom of each, in pixels of the image.
    """
    factor = max(-(-SIDE // max(base.shape[:2])), 1)
    drawn = base.repeat(factor, 0).repeat(factor, 1)
    colours, rows, columns = list(COLOURS.values()), drawn.shape[0], drawn.shape[1]
    for label, *corners in objects[:, :5]:
        left, top, right, bottom = (round(float(corner) * factor) for corner in corners)
        left, top = min(max(left, 0), columns - LINE), min(max(top, 0), rows - LINE)
        right, bottom = max(min(right, columns), left + LINE), max(min(bottom, rows), top + LINE)
        colour = colours[int(label) % len(colours)]
        for part in (np.s_[top : top + LINE, left:right], np.s_[bottom - LINE : bottom, left:right]):
            drawn[part] = colour
        for part in (np.s_[top:bottom, left : left + LINE], np.s_[top:bottom, right - LINE : right]):
            drawn[part] = colour
    return drawn


def _edge(inside: Bool[np.ndarray, "row column"]) -> Bool[np.ndarray, "row column"]:
    """Return the two outermost pixels of a mask."""
    edge: Bool[np.ndarray, "row column"] = inside & ~ndimage.binary_erosion(inside, iterations=2)
    return edge
