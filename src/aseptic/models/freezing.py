"""Layers that training leaves as they are: which ones, and how they are held."""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

from torch import nn
from torch.nn.modules.batchnorm import _NormBase

from aseptic.core.errors import InputError, nearest
from aseptic.models.fitting import outputs_layers
from aseptic.models.subject import Subject
from aseptic.models.unwrap import unwrapped

ALL_BUT_HEAD = "all-but-head"
"""Stands for every layer but those whose shape depends on the number of outputs."""


def frozen_names(subject: Subject, frozen: Sequence[str]) -> frozenset[str]:
    """Return the names of all modules and parameters that are to stay as they are.

    Args:
        subject: Model with a known architecture.
        frozen: Names in its weights file, or their beginnings up to a dot: ``features`` and ``features.3`` cover
            ``features.3.weight``, ``feat`` does not; or `ALL_BUT_HEAD`.

    Raises:
        InputError: There is no such layer, or nothing is left to train.
    """
    network = unwrapped(subject.module)
    parameters = [name for name, _ in network.named_parameters()]
    known = [*filter(None, (name for name, _ in network.named_modules())), *parameters]
    found: set[str] = set()
    for prefix in frozen:
        if prefix == ALL_BUT_HEAD:
            head = _head(subject)
            found |= {name for name in known if not any(_covers(layer, name) or _covers(name, layer) for layer in head)}
            continue
        covered = {name for name in known if _covers(prefix, name)}
        if not covered:
            allowed = ", ".join(name for name, _ in network.named_children())
            raise InputError(
                f"freeze must name layers such as {allowed}, or {ALL_BUT_HEAD}; "
                f"got {prefix!r}{nearest(prefix, [ALL_BUT_HEAD, *known])}"
            )
        found |= covered
    if frozen and found.issuperset(parameters):
        raise InputError(f"freeze must leave something to train, got {', '.join(frozen)}, which is every layer")
    return frozenset(found)


def _covers(prefix: str, name: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _head(subject: Subject) -> Collection[str]:
    spec = subject.spec
    return outputs_layers(
        subject.architecture, outputs=len(subject.task.classes), channels=spec.channels, size=spec.size
    )


@contextmanager
def held(subject: Subject, names: Collection[str]) -> Iterator[Sequence[nn.Module]]:
    """Run the body with these parameters not learning; afterwards they learn again if they did before.

    Yields the normalisations among ``names``, which the body must keep in evaluation mode: their running statistics
    would follow the images otherwise.
    """
    network = unwrapped(subject.module)
    flags = [(value, value.requires_grad) for name, value in network.named_parameters() if name in names]
    try:
        for value, _ in flags:
            value.requires_grad = False
        yield [layer for name, layer in network.named_modules() if name in names and isinstance(layer, _NormBase)]
    finally:
        for value, required in flags:
            value.requires_grad = required
