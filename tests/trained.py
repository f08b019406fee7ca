"""A small network that has learned something, for comparisons with other toolboxes."""

from functools import cache

import torch
from torch import nn

from aseptic.core.rng import stream
from aseptic.models.subject import Subject

CLASSES = ("a", "b", "c", "d")


def blobs(count, seed=0):
    """Return 8 x 8 images of four kinds (where the bright spot is), noisy, many values on a bound; and their kinds."""
    rng = stream(seed, "blobs")
    kinds = torch.arange(count) % len(CLASSES)
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing="ij")
    centre = torch.stack([kinds // 2, kinds % 2], 1) * 3.0 + 2 + 0.7 * torch.randn((count, 2), generator=rng)
    apart = (y - centre[:, :1, None]) ** 2 + (x - centre[:, 1:, None]) ** 2
    images = 0.9 * torch.exp(-apart / 4)[:, None] + 0.15 * torch.randn((count, 1, 8, 8), generator=rng)
    return images.clamp(0, 1), kinds


@cache
def trained():
    """Return a convolutional network that tells the four kinds apart, the same in every process."""
    module = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 12, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(12 * 16, len(CLASSES)),
    )  # fmt: skip
    rng = stream(0, "trained")
    for parameter in module.parameters():
        fan = parameter[0].numel() if parameter.ndim > 1 else 1
        parameter.data = torch.randn(parameter.shape, generator=rng) * (2 / fan) ** 0.5 * (parameter.ndim > 1)
    images, kinds = blobs(256, seed=1)
    optimiser = torch.optim.Adam(module.parameters(), 1e-2)
    for _ in range(40):
        optimiser.zero_grad()
        nn.functional.cross_entropy(module(images), kinds).backward()
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return Subject(module, task="multiclass", classes=CLASSES, channels=1).eval()
