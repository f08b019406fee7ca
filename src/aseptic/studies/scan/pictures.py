"""What a scan recovered, as pictures: where a trigger is, and how it looks."""

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.types import Image
from aseptic.scanners.base import ModelScan
from aseptic.studies.yardsticks.drawing import MIDDLE, Frame, amplification

VOLUME = 3
"""Space axes of a volume."""
Mask = Float[Tensor, "*space"]


def save_pictures(found: ModelScan, folder: Path, shown: int, *, on_grey: bool) -> dict[str, dict[str, object]]:
    """Write pictures of the most suspicious outputs; return, by output, the names by which the page finds them.

    Args:
        found: A scan.
        folder: Folder of the cell.
        shown: Outputs that have pictures, at most.
        on_grey: Whether the pictures are changes on mid-grey, which are amplified to be seen.
    """
    told: dict[str, dict[str, object]] = {}
    name = found.scanner["name"]
    ranked = found.scores.nan_to_num(-torch.inf).argsort(descending=True, stable=True).tolist()
    for output in [one for one in ranked if not found.scores[one].isnan()][:shown]:
        mask, picture = found.masks[output], found.pictures[output]
        where = _slice(mask, picture)
        factor = amplification(picture - MIDDLE) if on_grey else 1
        amplified = (MIDDLE + factor * (picture - MIDDLE)).clamp(0, 1) if factor > 1 else picture
        files = Frame(folder=folder, name=f"{name}_{output}", where=where)
        told[found.outputs[output]] = {
            "picture": files.save("_picture", files.pixels(amplified)),
            "factor": factor,
            **({} if on_grey or _everywhere(mask) else {"mask": files.save("_mask", files.pixels(mask[None]))}),
        }
    return told


def thumbnail(image: Image, folder: Path, name: str) -> str:
    """Write an image, or the middle slice of a volume, and return the name by which the page finds it."""
    frame = Frame(folder=folder, name=name, where=image.shape[1] // 2 if image.ndim > VOLUME else None)
    return frame.save("", frame.pixels(image))


def _slice(mask: Mask, picture: Image) -> int | None:
    """Return the slice of a volume that the trigger covers most; the middle one where it covers all alike."""
    if picture.ndim <= VOLUME:
        return None
    if _everywhere(mask):
        return int(picture.shape[1] // 2)
    return int(np.argmax(mask.flatten(1).sum(1).numpy()))


def _everywhere(mask: Mask) -> bool:
    return bool((mask == 1).all())
