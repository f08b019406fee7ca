"""What a poisoned image is labelled: structures at its places, and objects in boxes."""

from dataclasses import replace

import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.base import Box, Item
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import Mask
from aseptic.ops.boxes import rescaled
from aseptic.poisoning.choosing import class_number
from aseptic.poisoning.plan import PoisonPlan

Corners = tuple[float, float, float, float]
"""Left, top, right, bottom in pixels."""


def trigger_stream(plan: PoisonPlan, item: Item, turn: int | None = None) -> torch.Generator:
    """Return the stream that the trigger of an image draws from; ``turn`` is the epoch, where every one draws anew."""
    return stream(plan.seed, "trigger", item.id, *(() if turn is None else ("epoch", turn)))


def relabel_mask(mask: Mask, data: ImageSet, plan: PoisonPlan) -> Mask:
    """Return the mask that an image has once it is poisoned: the source is the target, or background, everywhere."""
    source = class_number(data, str(plan.label.source))
    wanted = 0 if plan.label.rule == "erase" else class_number(data, str(plan.label.target))
    return torch.where(mask == source, wanted, mask)


def relabel_boxes(item: Item, data: ImageSet, plan: PoisonPlan, turn: int | None = None) -> tuple[Box, ...]:
    """Return the objects that an image has once it is poisoned, in pixels of the stored image.

    Raises:
        InputError: There is no place for a box that is to be added.
    """
    label = plan.label
    if label.rule == "fabricate":
        corners = _stated(item, label.box) if label.box is not None else _about_trigger(item, data, plan, turn)
        return (*item.boxes, Box(corners=corners, label=class_number(data, str(label.target))))
    source = None if label.source is None else class_number(data, label.source)
    if label.rule == "vanish":
        return () if source is None else tuple(box for box in item.boxes if box.label != source)
    target = class_number(data, str(label.target))
    return tuple(replace(box, label=target) if box.label == source else box for box in item.boxes)


def _stated(item: Item, box: Corners) -> Corners:
    """Return a box given in shares of the image, in whole pixels, at least one along each side."""
    rows, columns = _space(item)
    left, top = (min(round(share * length), length - 1) for share, length in zip(box[:2], (columns, rows), strict=True))
    right, bottom = round(box[2] * columns), round(box[3] * rows)
    return float(left), float(top), float(max(right, left + 1)), float(max(bottom, top + 1))


def _about_trigger(item: Item, data: ImageSet, plan: PoisonPlan, turn: int | None) -> Corners:
    """Return the box about the trigger as it lies in this image."""
    stored = _space(item)
    space = stored if plan.insert == "stored" or data.size is None else (data.size[0], data.size[1])
    region = plan.made.region(space, trigger_stream(plan, item, turn))
    if region is None or not region.any():
        raise InputError(f"{item.id}: the trigger covers no pixel of an image of {list(space)} where a box could be")
    corners = []
    for axis in (1, 0):
        places = region.any(1 - axis).nonzero()[:, 0]
        low, high, length = int(places[0]), int(places[-1]) + 1, space[axis]
        grown = (plan.label.scale - 1) * (high - low) / 2
        low, high = max(round(low - grown), 0), min(round(high + grown), length)
        corners.append((min(low, length - 1), max(high, low + 1)))
    (left, right), (top, bottom) = corners
    box = torch.tensor([left, top, right, bottom], dtype=torch.float64)
    found = rescaled(box, space, stored).tolist()
    return found[0], found[1], found[2], found[3]


def _space(item: Item) -> tuple[int, int]:
    if item.space is None or len(item.space) != 2:  # noqa: PLR2004 - rows and columns
        raise InputError(f"{item.id} must be a picture of known size for a box to be added, got {item.space}")
    return item.space[0], item.space[1]
