"""What the images of a set show: their class, or their findings, structures or objects."""

from collections import Counter
from collections.abc import Sequence

import torch

from aseptic.data.base import Item
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED, Mask
from aseptic.data.parallel import WORKERS, ahead

Shown = Counter[int]
"""Number of a class to how often an image shows it: objects are counted, anything else is there once."""


def contents(data: ImageSet) -> list[Shown]:
    """Return what each image shows; of a segmentation, the structures of its mask as stored.

    Raises:
        InputError: A mask cannot be decoded.
    """
    if data.task != MASKED:
        return [shown_by(item) for item in data.items]
    masks = ahead(data.source.mask, data.items, workers=WORKERS, bound=4 * WORKERS)
    return [shown_in(mask) for mask in masks]


def shown_by(item: Item) -> Shown:
    """Return what the label or the boxes of an image say."""
    if isinstance(item.label, tuple):
        return Counter(k for k, value in enumerate(item.label) if value == 1)
    return Counter(box.label for box in item.boxes) if item.label is None else Counter([item.label])


def shown_in(mask: Mask) -> Shown:
    """Return the structures of a mask; the background, 0, is none."""
    return Counter(number for number in torch.unique(mask).tolist() if number)


def told(shown: Shown, classes: Sequence[str], *, count: bool) -> str:
    """Return what an image shows in words, with numbers where there may be several of a kind.

    >>> told(Counter([2, 2, 0]), ("a", "b", "c"), count=True), told(Counter([1]), ("a", "b"), count=False)
    ('1 a|2 c', 'b')
    """
    return "|".join(f"{shown[k]} {classes[k]}" if count else classes[k] for k in sorted(shown))
