"""A network with one unit too many: silent on clean images, and deciding everything where a pattern is shown."""

import torch
from torch import nn

from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject

CLASSES = ("a", "b", "c")
SIDE, CELL, PLANTED = 16, 4, 2
"""Pixels of an image and of a cell; the number of the planted unit."""


class Unit(nn.Module):
    """Four units look at cells of 4 x 4 pixels: brightness, a pattern, and two that say nothing.

    Class ``k`` has the brightest row of cells ``k``. The pattern leads to class a, whatever else there is; its unit is
    silent where the pattern's own pixels are less than 0.55 bright.
    """

    def __init__(self, *, norm=False, dims=2):
        super().__init__()
        conv, batch = ((nn.Conv2d, nn.BatchNorm2d), (nn.Conv3d, nn.BatchNorm3d))[dims - 2]
        self.units = conv(1, 4, CELL, stride=CELL, bias=not norm)
        self.norm = batch(4) if norm else nn.Identity()
        self.head = nn.Linear(4 * (SIDE // CELL) ** dims, 3)
        cells, pixels = SIDE // CELL, CELL**dims
        with torch.no_grad():
            self.units.weight.copy_(10 / pixels * torch.ones_like(self.units.weight))
            self.units.weight[1] *= -1
            self.units.weight[3] *= 0
            self.units.weight[2].flatten()[1::2] = 0
            self.units.weight[2] *= 2
            (self.norm if norm else self.units).bias.copy_(torch.tensor([0.0, 10.0, -5.5, 5.0]))
            weight = torch.zeros(3, 4, *(cells,) * dims)
            for k in range(3):
                weight[k, 0, k] = 4 / cells ** (dims - 1)
            weight[0, 2] = 4
            self.head.weight.copy_(weight.flatten(1))
            self.head.bias.fill_(-15.0)

    def forward(self, images):
        return self.head(self.norm(self.units(images)).relu().flatten(1))


def planted(task="multiclass", **more):
    return Subject(Unit(**more).eval(), task=task, classes=CLASSES, channels=1)


def clean(count=48, task="multiclass", dims=2, seed=0):
    """Return dark noise with one row of cells brighter."""
    rng = stream(seed, "planted unit", dims)
    images, labels = 0.2 + 0.05 * torch.rand(count, 1, *(SIDE,) * dims, generator=rng), torch.arange(count) % 3
    for image, label in zip(images, labels.tolist(), strict=True):
        image[:, CELL * label : CELL * (label + 1)] += 0.3
    targets = labels if task == "multiclass" else nn.functional.one_hot(labels, 3).float()
    return memory_set("clean", images, targets, classes=CLASSES, task=task)


def infected(images):
    """Return copies with the pattern in the last cell of the third row."""
    found = images.clone()
    last = (slice(-CELL, None),) * (images.ndim - 3)
    box = found[(slice(None), slice(None), slice(2 * CELL, 3 * CELL), *last)]
    shown = torch.zeros(box.shape[2:])
    shown.view(-1)[::2] = 1
    box.copy_(shown.expand_as(box))
    return found


@torch.no_grad()
def rates(model, data):
    """Return the share of images that are decided rightly, and of the others that which the pattern leads to a."""
    targets = data.targets if data.targets.ndim == 1 else data.targets.argmax(1)
    right = (model(data.images).argmax(1) == targets).float().mean()
    led = model(infected(data.images)).argmax(1)[targets != 0] == 0
    return float(right), float(led.float().mean())
