"""Segmentation models whose behaviour the tests know: one of single places, and a U-Net that has learned something."""

import math
from functools import cache

import torch
from monai.networks.nets import UNet
from nets import pictures
from torch import nn

from aseptic.core.rng import stream
from aseptic.models.subject import Subject

STEEP, EDGE = 5.0, 0.4


class Threshold(nn.Module):
    """Logits ``(0, 5 (x - 0.4))`` at every place: a place is lost when it is darkened below 0.4."""

    def forward(self, images):
        return torch.cat([torch.zeros_like(images), STEEP * (images - EDGE)], 1)


def threshold(space):
    model = Subject(Threshold(), task="segmentation", classes=["background", "organ"], channels=1)
    images = 0.1 + 0.8 * pictures((4, 1, *space))
    return model, images, (images[:, 0] > EDGE).long()


def deciding(images, truth, share):
    """Return how far above the edge that place lies whose loss decides whether more than ``share`` is lost."""
    found = []
    for image, true in zip(images[:, 0], truth, strict=True):
        heights = image[true == 1].sort().values - EDGE
        found.append(heights[math.floor(share * len(heights) + 1e-9)])
    return torch.stack(found)


def blobs(space, count=6):
    """Return noisy images of two bright spots each, and where the spots are."""
    rng = stream(0, "spots", len(space))
    axes = torch.meshgrid(*(torch.arange(float(n)) for n in space), indexing="ij")
    truth = torch.zeros((count, *space), dtype=torch.long)
    for row in range(count):
        for half in range(2):
            centre = [half * 8 + 3 + 2 * float(torch.rand((), generator=rng)), *([space[-1] / 2] * (len(space) - 1))]
            truth[row] |= (sum((axis - c) ** 2 for axis, c in zip(axes, centre, strict=True)) < 6.0).long()
    noise = 0.05 * torch.randn((count, 1, *space), generator=rng)
    return (0.3 + 0.3 * truth[:, None] + noise).clamp(0, 1), truth


@cache
def unet(shape):
    """Return a MONAI U-Net that has learned to find the spots, the images and the truth."""
    images, truth = blobs(shape)
    space = len(shape)
    module = UNet(spatial_dims=space, in_channels=1, out_channels=2, channels=(4, 8), strides=(2,), act="relu")
    rng = stream(0, "unet", space)
    for parameter in module.parameters():
        if parameter.ndim > 1:
            parameter.data = torch.randn(parameter.shape, generator=rng) * (2 / parameter[0].numel()) ** 0.5
    model = Subject(module, task="segmentation", classes=["background", "lesion"], channels=1)
    optimiser = torch.optim.Adam(module.parameters(), 0.03)
    for _ in range(25):
        optimiser.zero_grad()
        model.task.loss(model(images), truth).mean().backward()
        optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    return model.eval(), images, truth
