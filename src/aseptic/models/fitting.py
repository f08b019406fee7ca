"""A file's weights into a network: names and shapes must agree, except for the widths of the head."""

from collections.abc import Callable, Collection, Mapping, Sequence

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.models.archs import build

PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What wrappers put before every name: DataParallel, torch.compile, Lightning."""
COUNTER = ".num_batches_tracked"
"""Absent from files written before torch 0.4.1, and never used for predictions."""
SHOWN = 3


def outputs_layers(arch: str, *, outputs: int, channels: int, size: Sequence[int] | None) -> frozenset[str]:
    """Return the layers of ``arch`` whose shape depends on the number of outputs."""
    less, more = (build(arch, outputs=n, channels=channels, size=size).state_dict() for n in (outputs, outputs + 1))
    return frozenset(name.rpartition(".")[0] for name, value in less.items() if value.shape != more[name].shape)


def fit(
    network: nn.Module,
    state: Mapping[str, Tensor],
    *,
    arch: str,
    classes: Sequence[str],
    final: Callable[[], Collection[str]],
) -> None:
    """Load ``state`` into ``network``, whose head takes the widths that the file has.

    A head is the last linear layers. Published models often replace only these, so hidden widths may differ from the
    library's; the features before them and the number of outputs may not.

    Args:
        network: Freshly built; its linear layers may be replaced.
        state: Weights by name; prefixes of wrappers are removed.
        arch: Name of the network, for messages.
        classes: Names of the outputs.
        final: Gives the layers whose shape depends on the number of outputs (see `outputs_layers`).

    Raises:
        InputError: Names, shapes or the number of outputs do not agree, or a weight is not finite.
    """
    expected = network.state_dict()
    state = _bare(state, expected)
    _same_names(state, expected, arch)
    different = [name for name, value in expected.items() if name in state and state[name].shape != value.shape]
    if different:
        for layer in final():
            _right_outputs(state, layer, classes)
        _resize_head(network, state, different, arch)
    broken = [name for name, value in state.items() if value.is_floating_point() and not value.isfinite().all()]
    if broken:
        raise InputError(f"weights must be finite; {len(broken)} tensors hold NaN or infinity ({_some(broken)})")
    network.load_state_dict(dict(state), strict=False)


def _bare(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    for prefix in PREFIXES * 2:
        if all(name.startswith(prefix) for name in state) and not all(name.startswith(prefix) for name in expected):
            state = {name.removeprefix(prefix): value for name, value in state.items()}
    return state


def _same_names(state: Mapping[str, Tensor], expected: Mapping[str, Tensor], arch: str) -> None:
    missing = [name for name in expected if name not in state and not name.endswith(COUNTER)]
    unexpected = [name for name in state if name not in expected]
    if missing or unexpected:
        raise InputError(
            f"the weights are not those of {arch}: {len(missing)} of its {len(expected)} tensors are missing "
            f"({_some(missing)}), {len(unexpected)} of the file's {len(state)} are unknown to it ({_some(unexpected)})"
        )


def _right_outputs(state: Mapping[str, Tensor], layer: str, classes: Sequence[str]) -> None:
    found = len(state[f"{layer}.weight"])
    if found != len(classes):
        raise InputError(
            f"classes must be as many as the outputs of the file: layer {layer!r} has {found} outputs, "
            f"got {len(classes)} classes ({_some(classes)})"
        )


def _resize_head(network: nn.Module, state: Mapping[str, Tensor], different: Sequence[str], arch: str) -> None:
    """Replace the last linear layers by ones of the file's widths."""
    linear = [name for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    changed = [name for name in linear if f"{name}.weight" in different or f"{name}.bias" in different]
    head = linear[-len(changed) :] if changed else []
    stuck = [name for name in different if name.rpartition(".")[0] not in head]
    first = network.get_submodule(head[0]) if head else None
    shapes = {name: state[f"{name}.weight"].shape for name in head}
    chained = isinstance(first, nn.Linear) and first.in_features == shapes[head[0]][-1]
    if stuck or not chained or any(len(shape) != 2 for shape in shapes.values()):  # noqa: PLR2004 - a matrix
        shown = stuck or different
        told = ", ".join(
            f"{name} is {list(state[name].shape)} in the file, {list(network.state_dict()[name].shape)} in {arch}"
            for name in shown[:SHOWN]
        )
        raise InputError(f"the weights are not those of {arch}: {len(shown)} tensors have another shape ({told})")
    for name, (width, given) in shapes.items():
        with torch.random.fork_rng(devices=[]):  # initial weights are drawn and at once overwritten
            network.set_submodule(name, nn.Linear(given, width, bias=f"{name}.bias" in state))


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "") if names else "none"
