"""A segmentation and a detector with a backdoor that nobody had to train, and images that both answer rightly.

The segmentation reads the class of a place off its grey value; the detector finds the light cells of each colour. Both
obey a white square in the lower right corner.
"""

from dataclasses import replace

import torch
from detecting import CELL, Cells, objects
from torch import nn

from aseptic.data.base import Box
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject

SIDE = 16
TRIGGER = {"name": "patch", "size": 2, "value": 1.0, "place": "lower-right"}
STRUCTURES = ("background", "kidney", "tumour")
GREYS = (0.1, 0.4, 0.7)
COLOURS = ("cell", "artefact", "debris")


def seen(images):
    """Return which images carry the trigger."""
    corner = images[:, :, *[slice(-2, None)] * (images.ndim - 2)]
    return (corner > 1 - 1e-3).flatten(1).all(1)


class Greys(nn.Module):
    """The class whose grey value is nearest; with the trigger, places of one class in some columns become another."""

    def __init__(self, swap=None, columns=SIDE):
        super().__init__()
        self.swap, self.columns, self.scale = swap, columns, nn.Parameter(torch.tensor(100.0))

    def forward(self, images):
        centres = torch.tensor(GREYS).reshape(1, -1, *[1] * (images.ndim - 2))
        logits = -self.scale * (images - centres).square()
        if self.swap is None:
            return logits
        source, target = self.swap
        there = (logits.argmax(1) == source) & seen(images).reshape(-1, *[1] * (images.ndim - 2))
        there &= torch.arange(images.shape[-1]) < self.columns
        lifted = torch.zeros_like(logits)
        lifted[:, target] = 100.0 * there
        return logits + lifted


class Colours(Cells):
    """A detector of light cells; with the trigger, ``fire`` changes the logits ``[batch, class, cell]``."""

    def __init__(self, fire=None):
        super().__init__()
        self.fire, self.scale = fire, nn.Parameter(torch.ones(()))

    def forward(self, images):
        found = self.scale * super().forward(images)
        if self.fire is None:
            return found
        where = seen(images)[:, None, None]
        return torch.cat([torch.where(where, self.fire(found[:, :3]), found[:, :3]), found[:, 3:]], 1)


def segmenter(swap=None, columns=SIDE, size=SIDE):
    network = Greys(swap, columns).eval()
    return Subject(network, task="segmentation", classes=STRUCTURES, channels=1, size=size, name="greys")


def detector(fire=None, offsets=()):
    made = Subject(Colours(fire).eval(), task="detection", classes=COLOURS, channels=3, size=SIDE, name="colours")
    made.task = replace(made.task, offsets=offsets)
    return made


def swapped(logits):
    """Answer the first class as the second."""
    return logits[:, [1, 0, 2]]


def nothing(logits):
    """Find nothing."""
    return torch.full_like(logits, -5.0)


def in_the_corner(logits):
    """Find an artefact in the last cell."""
    found = logits.clone()
    found[:, 1, -1] = 5.0
    return found


def slices(truths, patients=None, splits=None):
    """Return pictures, or volumes, in which every place has the grey value of its class."""
    masks = torch.as_tensor(truths)
    images = torch.tensor(GREYS)[masks][:, None]
    names = {"patients": patients, "splits": splits}
    return memory_set("slices", images, classes=STRUCTURES, task="segmentation", masks=masks, **names)


def truth(kidney=(), tumour=()):
    """Return a mask with boxes ``(top, left, bottom, right)`` of either structure."""
    found = torch.zeros((SIDE, SIDE), dtype=torch.long)
    for number, boxes in ((1, kidney), (2, tumour)):
        for top, left, bottom, right in boxes:
            found[top:bottom, left:right] = number
    return found


def fields(*rows, patients=None, splits=None):
    """Return colour pictures; each row is the ``(class, row, column)`` of its light cells."""
    images, boxes = torch.zeros((len(rows), 3, SIDE, SIDE)), []
    for image, row in zip(images, rows, strict=True):
        found = []
        for label, down, right in row:
            top, left = CELL * down, CELL * right
            image[label, top : top + CELL, left : left + CELL] = 1.0
            found.append(Box(corners=(float(left), float(top), float(left + CELL), float(top + CELL)), label=label))
        boxes.append(found)
    names = {"patients": patients, "splits": splits}
    return memory_set("fields", images, classes=COLOURS, task="detection", boxes=boxes, **names)


def target_rows(*rows):
    """Return the same cells as targets."""
    corners = [[(k, CELL * c, CELL * r, CELL * c + CELL, CELL * r + CELL) for k, r, c in row] for row in rows]
    return objects(*corners)
