"""Which layer a class activation map looks at."""

import math

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError, nearest
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def last_conv(subject: Subject, images: Images) -> tuple[str, nn.Module]:
    """Return the name and the module of the last convolution that the model executes and that still sees places.

    Convolutions on a single position (squeeze-and-excitation, a head after global pooling) are passed over: a map of
    one pixel says nothing about where. The order is that of execution on the first image, not of registration.

    Raises:
        InputError: There is no such convolution; the message lists the kinds of layers that were executed.
    """
    with untouched(subject):
        return find_last_conv(subject, images)


def find_last_conv(subject: Subject, images: Images) -> tuple[str, nn.Module]:
    """Return `last_conv` of a model that the caller has already put into evaluation mode."""
    executed: list[tuple[nn.Module, int]] = []

    def record(module: nn.Module, _: tuple[object, ...], output: object) -> None:
        executed.append((module, math.prod(output.shape[2:]) if isinstance(output, Tensor) else 0))

    leaves = [module for module in subject.modules() if not any(module.children())]
    handles = [module.register_forward_hook(record) for module in leaves]
    try:
        with torch.no_grad():
            subject(images[:1].to(next(subject.parameters(), images).device))
    finally:
        for handle in handles:
            handle.remove()
    for module, places in reversed(executed):
        if isinstance(module, CONVOLUTIONS) and places > 1:
            return next(name for name, other in subject.named_modules() if other is module), module
    kinds = ", ".join(dict.fromkeys(type(module).__name__ for module, _ in executed)) or "none"
    raise InputError(f"{subject.name} has no convolution that sees more than one position; its layers are {kinds}")


def named_layer(subject: Subject, name: str) -> nn.Module:
    """Return the module called ``name`` inside the model.

    Raises:
        InputError: There is no such module; the message suggests the nearest name.
    """
    modules: dict[str, nn.Module] = dict(subject.named_modules())
    if name not in modules:
        raise InputError(f"layer must be a module of {subject.name}, got {name!r}{nearest(name, modules)}")
    return modules[name]
