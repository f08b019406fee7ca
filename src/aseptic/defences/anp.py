"""Adversarial neuron pruning: units that a small change of their weights sets off are cut (Wu and Wang, 2021)."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.modules.batchnorm import _BatchNorm

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number, Targets
from aseptic.data.imageset import ImageSet
from aseptic.defences.base import Defence, Watch, check_course, lessons, place
from aseptic.defences.neurons import CONVOLUTIONS, most, quality
from aseptic.models.layers import executed, head_of, name_of
from aseptic.models.subject import Subject

Factors = Mapping[str, Tensor]
"""One number for each unit of each layer, by the layer's name."""


@dataclass(frozen=True, kw_only=True)
class ANP(Defence):
    r"""Learn a mask :math:`m \in [0, 1]` of the units under the worst change of their weights, and cut where it is low.

    A unit computes :math:`(m + \delta)\, w \cdot x + (1 + \xi)\, b`. With the changes :math:`\delta` and :math:`\xi` in
    [-eps, eps] that raise the loss :math:`L` of clean images most (one sign step from a random beginning), the masks
    descend on :math:`\alpha L(m, 0, 0) + (1 - \alpha) L(m, \delta, \xi)`. Units below ``threshold`` in the end lose
    their weights, those that sank first before the others, as long as the quality on the clean images (balanced
    accuracy, mean AUROC of findings, or mean Dice) falls by no more than ``allowed``. Units are the scales of the batch
    normalisations; in a network without any, the output channels of its convolutions and linear layers, but for the
    head.

    Paper: https://arxiv.org/abs/2110.14430, section 4, algorithm 1.
    Departs from it: fewer steps; ``allowed``, because in small networks all masks sink; running statistics stay as they
    are; the loss is the task's own; networks without batch normalisation as said.
    Blind to: backdoors that live in units which clean images need, too; networks whose head is all there is.
    """

    eps: Number = 0.4
    """Largest change of a unit's weights and of its offset, as a share of them."""
    alpha: Number = 0.2
    """Weight of the loss without changes, in [0, 1]."""
    threshold: Number = 0.2
    """Mask below which a unit is cut, in (0, 1)."""
    allowed: Number = 0.04
    """Quality on the clean images that may be lost by cutting, in [0, 1]."""
    steps: int = 500
    """Steps of the masks."""
    lr: Number = 0.2
    """Learning rate of the masks."""
    momentum: Number = 0.9
    """Momentum of the masks, in [0, 1)."""
    batch_size: int = 128
    """Clean images in one step."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_course(batch_size=self.batch_size, lr=self.lr, steps=self.steps)
        for name, low, high in (("alpha", 0, 1), ("allowed", 0, 1), ("momentum", 0, 0.999), ("eps", 0, 10)):
            if not low <= getattr(self, name) <= high:
                raise InputError(f"{name} must lie in [{low}, {high}], got {getattr(self, name):g}")
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold must lie in (0, 1), got {self.threshold:g}")

    def mend(self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch) -> None:
        """Cut the units of the copy that cannot bear to be shaken."""
        layers = shaken(subject, clean.select([0]).images.to(place(subject)))
        masks, course = self.masks(subject, layers, clean, seed=seed, watch=watch)
        weights = [layer.get_parameter("weight") for layer in layers.values()]
        kept, sizes = [weight.detach().clone() for weight in weights], [len(weight) for weight in weights]
        low = torch.cat(list(masks.values())) < self.threshold
        order = torch.where(low, torch.cat(list(course.values())), torch.inf).argsort(stable=True)
        least = quality(subject, clean, self.batch_size) - self.allowed

        def good(number: int) -> bool:
            off = torch.zeros_like(low)
            off[order[:number]] = True
            with torch.no_grad():
                for weight, before, own in zip(weights, kept, torch.split(off, sizes), strict=True):
                    weight.copy_(before)
                    weight[own] = 0
            return quality(subject, clean, self.batch_size) >= least

        good(most(int(low.sum()), good))

    def masks(
        self, subject: Subject, layers: Mapping[str, nn.Module], clean: ImageSet, *, seed: int, watch: Watch
    ) -> tuple[Factors, Factors]:
        """Return the masks that are learned, in [0, 1] for each unit, and their means over all steps.

        Of masks that have sunk to 0, the mean tells which sank first.
        """
        masks = {
            name: torch.ones(len(layer.get_parameter("weight")), device=place(subject))
            for name, layer in layers.items()
        }
        means = {name: torch.zeros_like(mask) for name, mask in masks.items()}
        speeds = {name: torch.zeros_like(mask) for name, mask in masks.items()}
        rng, shaking = stream(seed, "shaking"), _Shaking(subject=subject, layers=layers)
        batches = lessons(subject, clean, batch_size=self.batch_size, seed=seed, name="masks", steps=self.steps)
        for step, (images, targets) in enumerate(batches):
            worst = self._worst(shaking, masks, images, targets, rng)
            leaves = {name: mask.clone().requires_grad_() for name, mask in masks.items()}
            calm, shaken_loss = (shaking.loss(leaves, noise, images, targets) for noise in ({}, worst))
            slopes = _slopes(self.alpha * calm + (1 - self.alpha) * shaken_loss, leaves)
            for name, slope in slopes.items():
                speeds[name] = self.momentum * speeds[name] + slope
                masks[name] = (masks[name] - self.lr * speeds[name]).clamp(0, 1)
                means[name] = means[name] + masks[name] / self.steps
            watch(step + 1, self.steps)
        return masks, means

    def _worst(
        self, shaking: "_Shaking", masks: Factors, images: Images, targets: Targets, rng: torch.Generator
    ) -> Factors:
        """Return changes of weights and offsets, one sign step uphill from a random beginning."""
        drawn = {
            f"{name}.{part}": (self.eps * (2 * torch.rand(mask.shape, generator=rng) - 1)).to(mask)
            for name, mask in masks.items()
            for part in ("weight", "bias")
        }
        leaves = {name: value.requires_grad_() for name, value in drawn.items()}
        slopes = _slopes(shaking.loss(masks, leaves, images, targets), leaves)
        return {
            name: (value.detach() + self.eps * slopes[name].sign()).clamp(-self.eps, self.eps)
            for name, value in leaves.items()
        }


def _slopes(loss: Tensor, leaves: Factors) -> Factors:
    """Return the gradients; 0 for what the loss does not depend on."""
    found = torch.autograd.grad(loss, list(leaves.values()), allow_unused=True)
    return {
        name: torch.zeros_like(leaf) if slope is None else slope
        for (name, leaf), slope in zip(leaves.items(), found, strict=True)
    }


@dataclass(frozen=True, kw_only=True, eq=False)
class _Shaking:
    """The model with the weights of its units multiplied."""

    subject: Subject
    """The model; its own weights stay as they are."""
    layers: Mapping[str, nn.Module]
    """Name to the layer that carries units."""

    def loss(self, masks: Factors, noise: Factors, images: Images, targets: Targets) -> Tensor:
        """Return the mean loss with masks and changes; no change where the noise has none for a layer."""
        weights = dict(self._weights(masks, noise))
        logits = functional_call(self.subject, weights, (images,))
        return self.subject.task.loss(logits, targets).mean()

    def _weights(self, masks: Factors, noise: Factors) -> Iterator[tuple[str, Tensor]]:
        for name, layer in self.layers.items():
            for part, value in layer.named_parameters(recurse=False):
                start = masks[name] if part == "weight" else torch.ones_like(masks[name])
                factor = start + noise.get(f"{name}.{part}", torch.zeros_like(start))
                yield f"{name}.{part}", value.detach() * factor.reshape(-1, *(1,) * (value.ndim - 1))


def shaken(subject: Subject, images: Images) -> dict[str, nn.Module]:
    """Return the layers whose units are judged: normalisations, or else convolutions and linear layers but the head.

    Raises:
        InputError: There are none.
    """
    layers = list(dict.fromkeys(one.module for one in executed(subject, images)))
    norms = [layer for layer in layers if isinstance(layer, _BatchNorm) and isinstance(layer.weight, Tensor)]
    head = head_of(subject, images)
    weighed = [layer for layer in layers if isinstance(layer, (*CONVOLUTIONS, nn.Linear)) and layer is not head]
    found = norms or weighed
    if not found:
        raise InputError(f"{subject.name} has no batch normalisation, convolution or linear layer before its head")
    return {name_of(subject, layer): layer for layer in found}
