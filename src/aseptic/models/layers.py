"""The layers of a network: in which order they work, how they are called, and which one answers."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError, nearest
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject


@dataclass(frozen=True, kw_only=True, eq=False)
class Executed:
    """A module that was executed, and what it gave for one image."""

    module: nn.Module
    """The module."""
    shape: tuple[int, ...]
    """Shape of its output; empty where that is no tensor."""

    @property
    def grid(self) -> tuple[int, ...]:
        """Places along each space axis; empty where there are none."""
        return self.shape[2:]


def executed(subject: Subject, images: Images) -> list[Executed]:
    """Return every module in the order in which it finished on the first image."""
    found: list[Executed] = []

    def record(module: nn.Module, _: tuple[object, ...], output: object) -> None:
        found.append(Executed(module=module, shape=tuple(output.shape) if isinstance(output, Tensor) else ()))

    handles = [module.register_forward_hook(record) for module in subject.modules()]
    try:
        with untouched(subject), torch.no_grad():
            subject(images[:1].to(next(subject.parameters(), images).device))
    finally:
        for handle in handles:
            handle.remove()
    return found


def name_of(subject: Subject, module: nn.Module) -> str:
    """Return the name of a module of the model."""
    names: list[str] = [name for name, other in subject.named_modules() if other is module]
    return names[0]


def named_layer(subject: Subject, name: str) -> nn.Module:
    """Return the module called ``name`` inside the model.

    Raises:
        InputError: There is no such module; the message suggests the nearest name.
    """
    modules: dict[str, nn.Module] = dict(subject.named_modules())
    if name not in modules:
        raise InputError(f"layer must be a module of {subject.name}, got {name!r}{nearest(name, modules)}")
    return modules[name]


def head_of(subject: Subject, images: Images) -> nn.Module:
    """Return the layer that answers: the last one executed that has a matrix or kernel of weights of its own.

    Raises:
        InputError: There is none.
    """
    weighed = [one.module for one in executed(subject, images) if _weighs(one.module)]
    if not weighed:
        raise InputError(f"{subject.name} has no layer with a matrix or kernel of weights, so nothing comes before one")
    return weighed[-1]


def _weighs(module: nn.Module) -> bool:
    """Return whether it holds weights itself, and not as a whole of several layers; normalisations have none."""
    return not any(module.children()) and any(own.ndim > 1 for own in module.parameters(recurse=False))
