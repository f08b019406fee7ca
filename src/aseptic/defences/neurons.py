"""The units of a network that can be switched off one by one, and how good it is without some of them."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Targets
from aseptic.data.imageset import ImageSet
from aseptic.defences.base import place
from aseptic.models.guard import untouched
from aseptic.models.layers import executed, head_of, name_of
from aseptic.models.skill import skill
from aseptic.models.subject import Subject

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
NORMS = (_BatchNorm, nn.GroupNorm, nn.InstanceNorm1d, nn.InstanceNorm2d, nn.InstanceNorm3d)


@dataclass(frozen=True, kw_only=True, eq=False)
class Units:
    """The units of one layer, and the modules whose parameters carry them."""

    name: str
    """Name of the layer whose output has them as its second axis."""
    read: nn.Module
    """What gives their activations: the layer, or the normalisation behind it."""
    carrier: nn.Module
    """What has one row of weights, or one scale, for each of them."""
    count: int
    """How many."""

    @torch.no_grad()
    def silence(self, off: Bool[Tensor, " unit"]) -> None:
        """Make units give 0, whatever they are shown."""
        for value in (self.carrier.weight, self.carrier.bias):
            if isinstance(value, Tensor):
                value[off.to(value.device)] = 0


def units_of(subject: Subject, images: Images, name: str | None) -> Units:
    """Return the units of the layer called ``name``, or of the last convolution before the head.

    Of several convolutions behind each other that is the one executed last on the smallest grid of more than one place:
    in a network that ends in one answer the last that sees places, in one that answers at every place the one at the
    bottom of the U. With a normalisation right behind it, whose scale and offset are then what is set to 0.

    Raises:
        InputError: There is no such layer, it is no convolution or linear layer, or its units cannot be set to 0.
    """
    order, head = executed(subject, images), head_of(subject, images)
    before = [one for one in order if isinstance(one.module, CONVOLUTIONS) and one.module is not head]
    if name is None:
        if not before:
            raise InputError(f"{subject.name} has no convolution before its head: name a layer whose units are pruned")
        smallest = min([math.prod(one.grid) for one in before if math.prod(one.grid) > 1] or [1])
        name = name_of(subject, next(one.module for one in reversed(before) if math.prod(one.grid) == smallest))
    layer = dict(subject.named_modules()).get(name, nn.Identity())
    if not isinstance(layer, (*CONVOLUTIONS, nn.Linear)) or not any(one.module is layer for one in order):
        allowed = ", ".join(name_of(subject, one.module) for one in before) or "none"
        raise InputError(
            f"layer must be a convolution or linear layer that is executed, such as {allowed}; got {name!r}"
        )
    count, behind = int(layer.weight.shape[0]), _normalisation(subject, images, layer)
    if behind is None:
        return Units(name=name, read=layer, carrier=layer, count=count)
    if not isinstance(behind.weight, Tensor) or len(behind.weight) != count:
        raise InputError(f"layer {name!r} is followed by a normalisation without a scale for each of its units")
    return Units(name=name, read=behind, carrier=behind, count=count)


def _normalisation(subject: Subject, images: Images, layer: nn.Module) -> nn.Module | None:
    """Return the normalisation that is given exactly what the layer gives, and not a sum or a part of it."""
    given: list[object] = []
    found: list[nn.Module] = []

    def keep(_: nn.Module, __: tuple[object, ...], output: object) -> None:
        given.append(output)

    def compare(module: nn.Module, shown: tuple[object, ...]) -> None:
        if given and shown and shown[0] is given[-1]:
            found.append(module)

    handles = [layer.register_forward_hook(keep)]
    handles += [one.register_forward_pre_hook(compare) for one in subject.modules() if isinstance(one, NORMS)]
    try:
        with untouched(subject), torch.no_grad():
            subject(images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else None


def most(count: int, good: Callable[[int], bool]) -> int:
    """Return the largest number up to ``count`` that is good, if less always is when more is; 0 is not asked about.

    >>> most(100, lambda number: number <= 37)
    37
    """
    low, high = 0, count + 1
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if good(middle) else (low, middle)
    return low


def quality(subject: Subject, clean: ImageSet, batch_size: int) -> float:
    """Return the balanced accuracy, the mean AUROC of findings, or the mean Dice of structures and images.

    Raises:
        InputError: The images have no targets, or these cannot tell.
    """
    task, found, targets, told = subject.task, [], [], False
    with torch.no_grad():
        for batch in clean.batches(batch_size):
            logits = subject(batch.images.to(place(subject))).cpu()
            truth: Targets | None = batch.targets
            if truth is None:
                raise InputError("clean images must have targets, got none")
            told = told or not task.dense or bool((truth > 0).any())
            found.append(task.agreement(logits, truth) if task.dense else logits)  # type: ignore[attr-defined]  # dense
            if not task.dense:
                targets.append(truth)
    if task.dense:
        value = float(torch.cat(found).nanmean())
    else:
        value = skill(task.shift(torch.cat(found)), torch.cat(targets)).value
    if math.isnan(value) or not told:
        wanted = "a structure" if task.dense else "a finding in some images and its absence in others"
        raise InputError(f"clean images must show {wanted}, or nobody knows what cutting costs; {clean.name} do not")
    return value
