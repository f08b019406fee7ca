"""A network that learnt something, in a second, and the images it learnt it on."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from aseptic.core.rng import stream
from aseptic.data.imageset import ImageSet
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject

SIDE = 16
CLASSES = ("left", "middle", "right")


@dataclass(frozen=True)
class Learnt:
    subject: Subject
    data: ImageSet


def bars(count: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Noise with a faint vertical bar in one of three places."""
    rng = stream(seed, "bars")
    images = 0.4 + 0.06 * torch.rand(count, 1, SIDE, SIDE, generator=rng)
    targets = torch.arange(count) % 3
    for image, target in zip(images, targets, strict=True):
        image[0, :, 2 + 5 * target : 4 + 5 * target] += 0.04
    return images, targets


def fit(network: nn.Module, images: torch.Tensor, targets: torch.Tensor, loss: nn.Module) -> None:
    optimizer = torch.optim.Adam(network.parameters(), 1e-2)
    for _ in range(80):
        optimizer.zero_grad()
        loss(network(images), targets).backward()
        optimizer.step()
    network.eval().zero_grad()


def network(outputs: int) -> nn.Module:
    with torch.random.fork_rng():
        torch.set_rng_state(stream(0, "weights").get_state())
        return nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Flatten(),
            nn.Linear(6 * (SIDE // 2) ** 2, outputs),
        )


@pytest.fixture(scope="session")
def multiclass() -> Learnt:
    images, targets = bars(48, 0)
    module = network(3)
    fit(module, images, targets, nn.CrossEntropyLoss())
    data = memory_set(
        "bars", images, targets, classes=CLASSES, task="multiclass", patients=[f"p{i // 2}" for i in range(48)]
    )
    return Learnt(Subject(module, task="multiclass", classes=CLASSES, channels=1, size=SIDE), data)


@pytest.fixture(scope="session")
def multilabel() -> Learnt:
    images, places = bars(48, 1)
    targets = nn.functional.one_hot(places, 3).float()
    module = network(3)
    fit(module, images, targets, nn.BCEWithLogitsLoss())
    targets[::5, 0] = torch.nan
    data = memory_set("bars", images, targets, classes=CLASSES, task="multilabel")
    return Learnt(Subject(module, task="multilabel", classes=CLASSES, channels=1, size=SIDE), data)
