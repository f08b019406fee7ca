"""A small network that has learnt something, for comparisons in which the shape of the loss matters."""

from dataclasses import dataclass
from functools import cache

import torch
from torch import nn

from aseptic.core.rng import stream
from aseptic.models.subject import Subject


@dataclass(frozen=True)
class Victim:
    """A trained model of five classes and test images that it gets right."""

    model: Subject
    images: torch.Tensor
    targets: torch.Tensor


def blobs(count, seed):
    """Return pictures of five classes, each a ring of its own radius somewhere near the middle, under noise."""
    rng = stream(seed, "blobs")
    targets = torch.arange(count) % 5
    middle = 4.5 + torch.randn((count, 2, 1, 1), generator=rng)
    axis = torch.arange(10.0)
    far = ((axis[:, None] - middle[:, 0]) ** 2 + (axis - middle[:, 1]) ** 2).sqrt()
    ring = torch.exp(-((far - targets[:, None, None]) ** 2))
    noisy = 0.25 + 0.5 * ring + 0.15 * torch.randn(ring.shape, generator=rng)
    return noisy[:, None].clamp(0, 1), targets


@cache
def train_victim() -> Victim:
    """Return the network and its images, the same in every process."""
    net = nn.Sequential(
        nn.Conv2d(1, 12, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Conv2d(12, 24, 3, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(600, 5),
    )  # fmt: skip
    rng = stream(0, "victim")
    for parameter in net.parameters():
        width = parameter[0].numel() if parameter.ndim > 1 else 100
        parameter.data = torch.randn(parameter.shape, generator=rng) * (2 / width) ** 0.5
    images, targets = blobs(1000, 0)
    optimiser = torch.optim.Adam(net.parameters(), 3e-3)
    for _ in range(12):
        for rows in torch.randperm(len(images), generator=rng).split(100):
            optimiser.zero_grad()
            nn.functional.cross_entropy(net(images[rows]), targets[rows]).backward()
            optimiser.step()
    model = Subject(net.eval(), task="multiclass", classes=list("abcde"), channels=1)
    images, targets = blobs(200, 1)
    with torch.no_grad():
        right = model(images).argmax(1) == targets
    assert right.float().mean() > 0.8, "it has learnt"
    return Victim(model, images[right], targets[right])
