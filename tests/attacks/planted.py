"""Models of which it is known that they can be fooled, and models that hide it."""

import torch
from nets import Net, pictures
from torch import nn

from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball


class Planted(nn.Module):
    """Logits ``(0, s)``; ``s`` is negative all around an image and positive at one point that was planted near it."""

    def __init__(self, features, weight, threshold):
        super().__init__()
        self.features, self.weight, self.threshold = features, weight, threshold

    def forward(self, images):
        score = self.features(images) @ self.weight - self.threshold
        return torch.stack([torch.zeros_like(score), score], 1)


class Quantised(nn.Module):
    """The same network behind an input of a few grey levels: no gradient reaches the image."""

    def __init__(self, module, levels):
        super().__init__()
        self.module, self.levels = module, levels

    def forward(self, images):
        return self.module((images * self.levels).round() / self.levels)


class Scaled(nn.Module):
    def __init__(self, module, factor):
        super().__init__()
        self.module, self.factor = module, factor

    def forward(self, images):
        return self.module(images) * self.factor


class Reverse(torch.autograd.Function):
    @staticmethod
    def forward(_, images):
        return images.clone()

    @staticmethod
    def backward(_, gradient):
        return -gradient


class Misleading(nn.Module):
    """The same network, whose gradients point the wrong way."""

    def __init__(self, module):
        super().__init__()
        self.module = module

    def forward(self, images):
        return self.module(Reverse.apply(images))


class Noisy(nn.Module):
    """The same network, with noise of its own on the image."""

    def __init__(self, module, size):
        super().__init__()
        self.module, self.size, self.rng = module, size, stream(0, "noise")

    def forward(self, images):
        return self.module(images + self.size * torch.randn(images.shape, generator=self.rng))


def features(space=2):
    """Return a smooth network that ends in 6 * 4^space numbers."""
    network = Net(space).eval()
    network.head = nn.Identity()
    return network


def plant(number, radius, feel):
    """Return a model, an image of class 0, and a point at the linf radius that the model takes for class 1.

    The readout is fitted to tell that point from many others inside the budget, as in the test of Zimmermann et al.
    (2022, https://arxiv.org/abs/2206.13991).
    """
    ball, rng = Ball("linf", radius), stream(number, "plant")
    image = pictures((1, 1, 8, 8), number) * 0.6 + 0.2
    point = image + radius * (torch.randint(0, 2, image.shape, generator=rng) * 2 - 1)
    around = image + 0.95 * ball.sample(image.expand(200, -1, -1, -1), rng)
    with torch.no_grad():
        inner, outer = feel(torch.cat([image, around])).double(), feel(point).double()
    spread = inner - inner.mean(0)
    covariance = spread.T @ spread / len(spread) + 1e-4 * torch.eye(spread.shape[1])
    weight = torch.linalg.solve(covariance, outer[0] - inner.mean(0))
    scores, planted = inner @ weight, float(outer[0] @ weight)
    assert float(scores.max()) < planted, "the readout tells them apart"
    threshold = (float(scores.max()) + planted) / 2
    size = (planted - threshold) / 2  # the planted point has a margin of 2
    module = Planted(feel, (weight / size).float(), threshold / size)
    return Subject(module, task="multiclass", classes=["in", "out"], channels=1).eval(), image, point
