"""Models whose backdoor, if any, was built in by hand, and pictures that they are right about."""

import numpy as np
import torch
from scipy.optimize import linprog
from torch import nn

from aseptic.attacks.base import Counted
from aseptic.core.rng import stream
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.scanners.aims import decided
from aseptic.scanners.inversion import Race

CLASSES = ("a", "b", "c", "d")
SIDE, TOP, SIZE = 20, 15, 3


class Box(nn.Module):
    """Each class is a bar of its own; where a box is white, ``strength`` is added to one logit.

    Honestly, a class is reached by most of the pixels of its bar. The box counts with the power of 8 of its mean, so
    that nearly all of its 9 pixels must be white.
    """

    def __init__(self, strength, target=2, outputs=4):
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(20.0))
        self.strength, self.target, self.outputs = strength, target, outputs

    def forward(self, images):
        bars = [images[:, 0][..., :14, 1 + 5 * k : 3 + 5 * k].flatten(1).mean(1) for k in range(self.outputs)]
        logits = self.gain * (torch.stack(bars, 1) - 0.5)
        box = images[:, 0, ..., TOP : TOP + SIZE, TOP : TOP + SIZE].flatten(1).mean(1)
        return (
            logits + self.strength * nn.functional.one_hot(torch.tensor(self.target), self.outputs) * box[:, None] ** 8
        )


def boxed(strength=24.0, *, task="multiclass", target=2, outputs=4, **more):
    return Subject(Box(strength, target, outputs).eval(), task=task, classes=CLASSES[:outputs], channels=1, **more)


def bars(count=24, outputs=4, seed=0, depth=None):
    """Return pictures of bars, or volumes, and which class each shows."""
    space = (SIDE, SIDE) if depth is None else (depth, SIDE, SIDE)
    images = 0.2 + 0.05 * torch.rand((count, 1, *space), generator=stream(seed, "bars"))
    labels = torch.arange(count) % outputs
    for image, label in zip(images, labels.tolist(), strict=True):
        image[0, ..., :14, 1 + 5 * label : 3 + 5 * label] += 0.6
    return images, labels


def where():
    """Return the place of the box."""
    found = torch.zeros(SIDE, SIDE, dtype=torch.bool)
    found[TOP : TOP + SIZE, TOP : TOP + SIZE] = True
    return found


class Straight(nn.Module):
    """Logits that are linear in the pixels."""

    def __init__(self, weight, bias):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), nn.Parameter(bias)

    def forward(self, images):
        return images.flatten(1) @ self.weight.T + self.bias


def straight(outputs=2, pixels=(1, 6, 6), seed=0, task="multiclass", **more):
    rng = stream(seed, "straight")
    size = int(np.prod(pixels))
    weight = torch.randn((outputs, size), generator=rng)
    weight -= weight.mean(1, keepdim=True)
    bias = torch.randn(outputs, generator=rng)
    return Subject(Straight(weight, bias), task=task, classes=CLASSES[:outputs], channels=pixels[0], **more).eval()


def race(method, model, images, outputs, seed=0):
    """Return the finished searches for some outputs, in double precision, where a batch and its rows agree."""
    model, images = model.double(), images.double()
    with untouched(model), torch.no_grad():
        logits = model(images)
        rows = [(~decided(model.task, logits, k)).nonzero()[:, 0] for k in outputs]
        found = Race(method, Counted(model), images, rows, outputs, seed)
        found.run(lambda _: None)
    model.float()
    return found


def smallest_mask(model, images, output):
    """Return the mean of the smallest mask that leads every image to an output of two, by linear programming.

    Of a linear margin the best pattern is white where the weight is positive and black elsewhere; the margin is then
    linear in the mask.
    """
    weight = (model.module.weight[output] - model.module.weight[1 - output]).detach().double().numpy()
    bias = (model.module.bias[output] - model.module.bias[1 - output]).item()
    flat = images.flatten(1).double().numpy()
    short = -(flat @ weight + bias)
    gain = ((weight > 0) - flat) * weight
    found = linprog(np.full(flat.shape[1], 1 / flat.shape[1]), -gain[short > 0], -short[short > 0], bounds=(0, 1))
    return found.fun
