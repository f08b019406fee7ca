"""Which layer a class activation map looks at, what is read there, and how the map is drawn from it."""

import math

from jaxtyping import Float
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits
from aseptic.explain.base import Maps
from aseptic.models.layers import Executed, executed, name_of, named_layer
from aseptic.models.subject import Subject
from aseptic.ops.images import per_image, resize

CONVOLUTIONS = (nn.Conv2d, nn.Conv3d)

Evidence = Float[Tensor, "batch 1 *grid"]
"""What a layer holds for the output, on the layer's own grid."""


def last_grid(subject: Subject, order: list[Executed]) -> tuple[int, ...]:
    """Return the grid of the last convolution that sees more than one position.

    Raises:
        InputError: There is no such convolution; the message lists the kinds of layers that were executed.
    """
    grids = [one.grid for one in order if isinstance(one.module, CONVOLUTIONS) and math.prod(one.grid) > 1]
    if not grids:
        leaves = [one.module for one in order if not any(one.module.children())]
        kinds = ", ".join(dict.fromkeys(type(module).__name__ for module in leaves)) or "none"
        raise InputError(f"{subject.name} has no convolution that sees more than one position; its layers are {kinds}")
    return grids[-1]


def last_map(subject: Subject, images: Images) -> tuple[str, nn.Module]:
    """Return the name and the module whose output is the last map of features that still has places.

    That is the last module executed on the grid of the last convolution: in a residual network the whole last stage,
    with its normalisation and ReLU, and not the bare convolution inside it. Convolutions on a single position
    (squeeze-and-excitation, a head after global pooling) are passed over: a map of one pixel says nothing about where.
    The order is that of execution on the first image, not of registration.

    Raises:
        InputError: There is no such convolution; the message lists the kinds of layers that were executed.
    """
    order = executed(subject, images)
    grid = last_grid(subject, order)
    last = next(one.module for one in reversed(order) if one.grid == grid)
    return name_of(subject, last), last


def chosen_layer(subject: Subject, images: Images, name: str | None) -> nn.Module:
    """Return `named_layer`, or `last_map` where no name is given.

    Raises:
        InputError: There is no such layer.
    """
    return last_map(subject, images)[1] if name is None else named_layer(subject, name)


def read_layer(subject: Subject, module: nn.Module, batch: Images) -> tuple[Logits, Float[Tensor, "batch unit *grid"]]:
    """Return the logits and the activations of one module that they were computed from.

    Raises:
        InputError: The module is not executed, or gives no map of features.
    """
    seen: list[object] = []

    def keep(_: nn.Module, __: tuple[object, ...], output: object) -> object:
        seen.append(output)
        return output.clone() if isinstance(output, Tensor) else output  # what follows may work in place

    handle = module.register_forward_hook(keep)
    try:
        logits = subject(batch)
    finally:
        handle.remove()
    found = seen[-1] if seen else None
    if not isinstance(found, Tensor) or found.ndim != batch.ndim:
        given = list(found.shape) if isinstance(found, Tensor) else "nothing"
        raise InputError(
            f"layer {name_of(subject, module)!r} must give a map of features with {batch.ndim - 2} space axes, "
            f"got {given}"
        )
    return logits, found


def as_maps(evidence: Evidence, space: tuple[int, ...]) -> Maps:
    """Return evidence of 0 or more enlarged to the images' size and divided by its maximum, where that is not 0."""
    maps = resize(evidence, space)[:, 0]
    peak = per_image(maps.flatten(1).amax(1), maps)
    # Antialiased resizing may leave the range by a rounding.
    return (maps / peak.where(peak > 0, 1)).clamp(0, 1)
