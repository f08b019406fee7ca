"""Small models whose behaviour the tests know: a linear one, a smooth one, and one with BatchNorm."""

import torch
from torch import nn

from aseptic.attacks.base import Batch
from aseptic.core.rng import stream
from aseptic.models.subject import Subject


class Linear(nn.Module):
    """Logits ``(0, w.x)``: the best attack moves the margin by the radius times the dual norm of ``w``."""

    def __init__(self, shape):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(shape, generator=stream(0, "weight")))

    def forward(self, images):
        score = (images * self.weight).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(score), score], 1)


class Net(nn.Module):
    """Convolution, BatchNorm, tanh, linear: works on images and volumes, with weights of its own stream."""

    def __init__(self, space, outputs=3, channels=1):
        super().__init__()
        conv, norm = (nn.Conv2d, nn.BatchNorm2d) if space == 2 else (nn.Conv3d, nn.BatchNorm3d)
        self.conv, self.norm = conv(channels, 6, 3, padding=1), norm(6)
        self.head = nn.Linear(6 * 4**space, outputs)
        rng = stream(0, "net", space)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng)
        with torch.no_grad():  # decisions differ between pictures: no output wins by its bias alone
            self.eval().head.bias -= self(pictures((16, channels, *(8,) * space))).mean(0)

    def forward(self, images):
        found = torch.tanh(self.norm(self.conv(images)))
        pool = nn.functional.adaptive_avg_pool2d if found.ndim == 4 else nn.functional.adaptive_avg_pool3d
        return self.head(pool(found, 4).flatten(1))


class SegNet(nn.Module):
    """Convolution, tanh, convolution: one answer for each place of an image or a volume."""

    def __init__(self, space, outputs=3):
        super().__init__()
        conv = nn.Conv2d if space == 2 else nn.Conv3d
        self.conv, self.head = conv(1, 6, 3, padding=1), conv(6, outputs, 3, padding=1)
        rng = stream(0, "segnet", space)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) / parameter[0].numel() ** 0.5
        with torch.no_grad():
            self.head.bias -= self(pictures((16, 1, *(8,) * space))).transpose(0, 1).flatten(1).mean(1)

    def forward(self, images):
        return self.head(torch.tanh(4 * self.conv(images)))


def linear(shape):
    return Subject(Linear(shape), task="multiclass", classes=["no", "yes"], channels=shape[0])


def net(space=2, task="multiclass", outputs=3, channels=1):
    names = ["a", "b", "c", "d"][:outputs]
    return Subject(Net(space, outputs, channels), task=task, classes=names, channels=channels).eval()


def segnet(space=2, outputs=3):
    return Subject(
        SegNet(space, outputs), task="segmentation", classes=["a", "b", "c", "d"][:outputs], channels=1
    ).eval()


def pictures(shape, seed=0):
    """Return random images in [0, 1]."""
    return torch.rand(shape, generator=stream(seed, "pictures"))


def answers(model, images):
    with torch.no_grad():
        return model(images)


def batch_of(images, targets, threat, start=None):
    """Return the images as attacks are handed them, each with a stream of its own."""
    rng = [stream(0, row) for row in range(len(images))]
    return Batch(images=images, targets=targets, threat=threat, rng=rng, start=start)
