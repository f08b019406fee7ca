"""Checks of a network's outputs and gradients, before an audit trusts them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Targets
from aseptic.models.subject import Subject
from aseptic.tasks.make import untargeted
from aseptic.tasks.multiclass import best_other, own

Status = Literal["ok", "warning", "refused"]
BATCH = 32
ALONE = 8
"""Images that are also shown one at a time."""
CLIMBED = 64
"""Images whose gradient is taken."""
SAME = 1e-4
"""Largest difference of two equal passes, as a fraction of the range of the logits."""
TOGETHER = 1e-2
"""Largest difference between an image alone and in a batch, as a fraction of the range of the logits; libraries
choose other kernels for other batch sizes, and reduced precision rounds to three digits."""
ROUNDING = 1e-3
"""Largest distance from 1 of a sum of probabilities."""
MASKED = 0.05
"""Share of images without a gradient that is worth a word."""


@dataclass(frozen=True, kw_only=True)
class Check:
    """One doubt, confirmed or not."""

    name: str
    """Short name: ``class_order``."""
    status: Status
    """``ok``; ``warning``, where the audit goes on; ``refused``, where its numbers would mean nothing."""
    sentence: str
    """What was found, and what to do about it."""
    evidence: Mapping[str, JsonValue] = field(default_factory=dict)
    """The numbers behind the sentence."""


def check(name: str, status: Status, sentence: str, evidence: Mapping[str, JsonValue]) -> Check:
    """Return a `Check`."""
    return Check(name=name, status=status, sentence=sentence, evidence=evidence)


@dataclass(frozen=True, kw_only=True, eq=False)
class Probe:
    """A model in evaluation mode, and what it says about some images."""

    subject: Subject
    """The model."""
    images: Images
    """Images in [0, 1], on the model's device."""
    targets: Targets
    """What is true of them."""
    logits: Logits
    """What the model says, batch by batch."""
    seed: int
    """Root seed."""

    @property
    def exclusive(self) -> bool:
        """Whether exactly one class is true, of an image or of each of its places."""
        return not self.targets.is_floating_point()

    @property
    def span(self) -> float:
        """Distance between the largest and the smallest logit."""
        return float(self.logits.amax() - self.logits.amin())


def forward(network: nn.Module, images: Tensor) -> Tensor:
    """Return what ``network`` returns, batch by batch.

    Raises:
        InputError: It returns something else than one tensor.
    """
    found = [network(part) for part in torch.split(images, BATCH)]
    if not isinstance(found[0], Tensor):
        raise InputError(f"the network must return one tensor of logits, got {type(found[0]).__name__}")
    return torch.cat(found).float()


def train_mode(subject: Subject) -> Check:
    """Refuse a model in which dropout draws and normalisation looks at the batch."""
    names = [name or subject.name for name, each in subject.named_modules() if each.training]
    acting = (nn.Dropout, nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)  # noqa: SLF001 - torch's own bases
    busy = [name for name, each in subject.named_modules() if each.training and isinstance(each, acting)]
    evidence: dict[str, JsonValue] = {"modules": len(names), "dropout_or_normalisation": len(busy)}
    if names:
        sentence = (
            f"The model is in training mode ({(busy or names)[0]} and others); call model.eval() before an audit."
        )
        return check("train_mode", "refused", sentence, evidence)
    return check("train_mode", "ok", "The model is in evaluation mode.", evidence)


def random_output(probe: Probe) -> Check:
    """Warn of a model that answers the same images differently."""
    again = forward(probe.subject, probe.images)
    difference = float((again - probe.logits).abs().amax())
    changed = int((probe.subject.task.decide(again) != probe.subject.task.decide(probe.logits)).sum())
    evidence: dict[str, JsonValue] = {"difference": difference, "span": probe.span, "decisions_changed": changed}
    if difference > SAME * probe.span:
        sentence = (
            f"Two passes over the same images differ by up to {difference:.3g} logits: the model draws random numbers, "
            f"so one attack step does not see what the next one sees."
        )
        return check("random_output", "warning", sentence, evidence)
    return check("random_output", "ok", "Two passes over the same images agree.", evidence)


def batch_dependence(probe: Probe) -> Check:
    """Warn of a model whose answer for one image depends on the others in the batch."""
    few = probe.images[:ALONE]
    try:
        alone = torch.cat([forward(probe.subject, image[None]) for image in few])
    except (RuntimeError, ValueError, IndexError) as error:
        sentence = f"The network cannot be fed one image alone: {error}; every batch must have several."
        return check("batch_dependence", "warning", sentence, {"images": len(few)})
    together = probe.logits[: len(few)]
    difference = float((alone - together).abs().amax())
    evidence: dict[str, JsonValue] = {"difference": difference, "span": probe.span, "images": len(few)}
    if difference > TOGETHER * probe.span:
        sentence = (
            f"An image alone and in a batch differs by up to {difference:.3g} logits: the model looks at the whole "
            f"batch (normalisation without running statistics?), so results depend on the batch size."
        )
        return check("batch_dependence", "warning", sentence, evidence)
    return check("batch_dependence", "ok", "An image is answered alike alone and in a batch.", evidence)


def raw_logits(probe: Probe) -> Check:
    """Refuse probabilities where logits are expected: their losses are flat, and attacks on them look weak."""
    low, high = float(probe.logits.amin()), float(probe.logits.amax())
    sums = probe.logits.sum(1)
    evidence: dict[str, JsonValue] = {"low": low, "high": high, "largest_distance_of_a_sum_from_1": _off(sums)}
    inside = low >= 0 and high <= 1
    advice = "say so with --outputs probabilities, or outputs='probabilities' in load_model"
    if probe.exclusive and inside and _off(sums) < ROUNDING:
        each = "place" if probe.subject.task.dense else "row"
        sentence = f"The outputs are probabilities (each {each} sums to 1), not logits: {advice}."
        return check("logits", "refused", sentence, evidence)
    if not probe.exclusive and inside and probe.logits.numel() >= BATCH:
        sentence = f"All outputs lie in [0, 1] and are probably probabilities, not logits: {advice}."
        return check("logits", "warning", sentence, evidence)
    return check("logits", "ok", "The outputs are logits.", evidence)


def _off(sums: Tensor) -> float:
    return float((sums - 1).abs().amax())


def gradient(probe: Probe) -> Check:
    """Warn of images whose loss has no gradient: attacks that climb it stand still there and prove nothing."""
    known = untargeted(probe.subject.task).applies(probe.subject.task, probe.targets)
    images, targets = probe.images[known][:CLIMBED], probe.targets[known][:CLIMBED]
    flat, broken = _still(probe.subject, images, targets, probe.subject.task.loss)
    frozen, _ = _still(probe.subject, images, targets, _margin)
    n, none = len(images), int(flat.sum())
    saturated = int((flat & ~frozen).sum())
    evidence: dict[str, JsonValue] = {"images": n, "zero": none, "saturated": saturated, "not_finite": broken}
    if broken:
        sentence = f"The gradient of the loss is NaN or infinite for {broken} of {n} images; attacks will fail there."
        return check("gradient", "warning", sentence, evidence)
    if none > MASKED * n:
        why = (
            "the network is so sure that the softmax underflows (its logits do have a gradient)"
            if saturated > none / 2
            else "the network hides it (rounding, thresholds or detached tensors)"
        )
        sentence = (
            f"The loss has exactly zero gradient for {none} of {n} images: {why}; gradient attacks prove nothing."
        )
        return check("gradient", "warning", sentence, evidence)
    return check("gradient", "ok", "The loss has a gradient with respect to the images.", evidence)


def _margin(logits: Tensor, targets: Tensor) -> Tensor:
    if not targets.is_floating_point():
        return (own(logits, targets) - best_other(logits, targets)).reshape(len(logits), -1).sum(1)
    return (logits * (2 * targets.nan_to_num(nan=0.5) - 1)).sum(1)


def _still(
    network: nn.Module, images: Tensor, targets: Tensor, climbed: Callable[[Tensor, Tensor], Tensor]
) -> tuple[Tensor, int]:
    """Return which images have an exactly zero gradient, and how many have one that is not finite."""
    flat, broken = [], 0
    for part, wanted in zip(torch.split(images, BATCH), torch.split(targets, BATCH), strict=True):
        with torch.enable_grad():
            fed = part.clone().requires_grad_()
            value = climbed(network(fed), wanted).sum()
        slope = torch.autograd.grad(value, fed, allow_unused=True)[0] if value.requires_grad else None
        slope = torch.zeros_like(fed) if slope is None else slope
        flat.append((slope == 0).flatten(1).all(1))
        broken += int((~slope.isfinite()).flatten(1).any(1).sum())
    return torch.cat(flat), broken
