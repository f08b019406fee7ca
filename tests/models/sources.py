"""Synthetic images with a learnable answer, in the shape in which `aseptic.data` hands them over."""

from dataclasses import dataclass

import torch

from aseptic.core.rng import stream


@dataclass(frozen=True)
class Part:
    images: torch.Tensor
    targets: torch.Tensor


class Memory:
    def __init__(self, images, targets):
        self.images, self.targets = images, targets

    def __len__(self):
        return len(self.images)

    def batches(self, batch_size, *, order=None, workers=2):
        del workers
        order = torch.arange(len(self)) if order is None else torch.tensor(order)
        for index in order.split(batch_size):
            yield Part(self.images[index], self.targets[index])


def source(kind, count, *, seed, classes=3):
    """Noise with a brighter quadrant for each class or finding."""
    rng = stream(seed, kind)
    if kind == "multiclass":
        targets = torch.arange(count) % classes
        marks = torch.eye(classes)[targets]
    else:
        marks = (torch.rand(count, classes, generator=rng) < 0.4).float()
        targets = marks.clone()
        targets[torch.rand(count, classes, generator=rng) < 0.1] = torch.nan
    side = 16
    images = 0.4 + 0.25 * torch.randn(count, 1, side, side, generator=rng)
    half = side // 2
    for k in range(classes):
        row, column = half * (k // 2), half * (k % 2)
        images[:, :, row : row + half, column : column + half] += 0.3 * marks[:, k, None, None, None]
    return Memory(images.clamp(0, 1), targets)
