"""Which layer a class activation map looks at."""

import math

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError, nearest
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)


def last_map(subject: Subject, images: Images) -> tuple[str, nn.Module]:
    """Return the name and the module whose output is the last map of features that still has places.

    That is the last module executed on the grid of the last convolution: in a residual network the whole last stage,
    with its normalisation and ReLU, and not the bare convolution inside it. Convolutions on a single position
    (squeeze-and-excitation, a head after global pooling) are passed over: a map of one pixel says nothing about where.
    The order is that of execution on the first image, not of registration.

    Raises:
        InputError: There is no such convolution; the message lists the kinds of layers that were executed.
    """
    executed: list[tuple[nn.Module, tuple[int, ...]]] = []

    def record(module: nn.Module, _: tuple[object, ...], output: object) -> None:
        executed.append((module, tuple(output.shape[2:]) if isinstance(output, Tensor) else ()))

    handles = [module.register_forward_hook(record) for module in subject.modules()]
    try:
        with untouched(subject), torch.no_grad():
            subject(images[:1].to(next(subject.parameters(), images).device))
    finally:
        for handle in handles:
            handle.remove()
    grids = [grid for module, grid in executed if isinstance(module, CONVOLUTIONS) and math.prod(grid) > 1]
    if not grids:
        leaves = [module for module, _ in executed if not any(module.children())]
        kinds = ", ".join(dict.fromkeys(type(module).__name__ for module in leaves)) or "none"
        raise InputError(f"{subject.name} has no convolution that sees more than one position; its layers are {kinds}")
    last = next(module for module, grid in reversed(executed) if grid == grids[-1])
    return next(name for name, other in subject.named_modules() if other is last), last


def named_layer(subject: Subject, name: str) -> nn.Module:
    """Return the module called ``name`` inside the model.

    Raises:
        InputError: There is no such module; the message suggests the nearest name.
    """
    modules: dict[str, nn.Module] = dict(subject.named_modules())
    if name not in modules:
        raise InputError(f"layer must be a module of {subject.name}, got {name!r}{nearest(name, modules)}")
    return modules[name]
