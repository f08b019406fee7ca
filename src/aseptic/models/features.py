"""What a network makes of images on the way to its answer: any layers, all read in one forward pass."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.layers import head_of, named_layer
from aseptic.models.subject import Subject

PENULTIMATE = "penultimate"
"""Stands for what the head is given: the features that the answer is a linear function of."""
LOGITS = "logits"
"""Stands for the answer itself."""
TOKENS = 3
"""Axes of what a transformer's layers give: images, tokens, units."""

Rows = Float[Tensor, "image unit"]
"""Numbers of each image."""
Grid = Float[Tensor, "image unit place"]
"""Numbers of each image at each of its places."""


def at_places(value: Tensor) -> Grid:
    """Return what a layer gave as ``[image, unit, place]``: one place where it has none, a token is a place.

    Maps are ``[image, unit, *space]``, as convolutions give them; tokens ``[image, token, unit]``. Layers that put the
    units last on a grid (inside a Swin transformer, say) cannot be told from convolutions.
    """
    if value.ndim == TOKENS:
        return value.transpose(1, 2)
    return value.flatten(2) if value.ndim > TOKENS else value.flatten(1)[:, :, None]


def pooled(value: Tensor) -> Rows:
    """Return the mean of each unit over its places."""
    return at_places(value).mean(2)


def flattened(value: Tensor) -> Rows:
    """Return every number that a layer gave for an image, in one row."""
    return value.flatten(1)


@contextmanager
def tapped(
    subject: Subject, images: Images, layers: Sequence[str] = (PENULTIMATE,)
) -> Iterator[Callable[[Images], dict[str, Tensor]]]:
    """Run the body with a function from images to what each layer gives for them, in one forward pass.

    Gradients flow through what it returns. Of a layer that is executed several times, it is the last.

    Args:
        subject: Model that is read.
        images: Some images; the first shows which layer is the head.
        layers: Names of modules, `PENULTIMATE` or `LOGITS`.

    Raises:
        InputError: There is no such layer, or it gives no tensor.
    """
    seen: dict[str, Tensor] = {}
    handles: list[RemovableHandle] = []

    def read(batch: Images) -> dict[str, Tensor]:
        seen.clear()
        subject(batch)
        absent = [name for name in layers if name not in seen]
        if absent:
            raise InputError(f"layer must be executed and give a tensor, but {absent[0]!r} does not")
        return {name: seen[name] for name in layers}

    try:
        for name in dict.fromkeys(layers):
            handles.append(_tap(subject, images, name, seen))  # noqa: PERF401 - those before a refused one are removed
        yield read
    finally:
        for handle in handles:
            handle.remove()


def _tap(subject: Subject, images: Images, name: str, seen: dict[str, Tensor]) -> RemovableHandle:
    if name == PENULTIMATE:

        def before(_: nn.Module, given: tuple[object, ...]) -> None:
            if given and isinstance(given[0], Tensor):
                seen[name] = given[0]

        return head_of(subject, images).register_forward_pre_hook(before)

    def after(_: nn.Module, __: tuple[object, ...], output: object) -> object:
        if not isinstance(output, Tensor):
            return output
        seen[name] = output
        return output.clone()  # what follows may work in place

    module: nn.Module = subject if name == LOGITS else named_layer(subject, name)
    return module.register_forward_hook(after)


def read_features(
    subject: Subject,
    batches: Iterable[Tensor],
    layers: Sequence[str] = (PENULTIMATE,),
    *,
    reduce: Callable[[Tensor], Tensor] = pooled,
) -> dict[str, Tensor]:
    """Return the features of many images, ``[N, ...]`` on the CPU for each layer; a batch at a time is in memory.

    Args:
        subject: Model that is read, in evaluation mode; the same afterwards as before.
        batches: Images in [0, 1], any number at a time.
        layers: Names of modules, `PENULTIMATE` or `LOGITS`.
        reduce: What is kept of what a layer gives: `pooled`, `flattened`, or any function of each image by itself.

    Raises:
        InputError: There are no images, there is no such layer, or it gives no tensor.
        ContractError: The model was changed.
    """
    ready = iter(batches)
    first = next(ready, None)
    if first is None or len(first) == 0:
        raise InputError("features must be read of at least one image, got none")
    device = next(subject.parameters(), first).device
    parts: dict[str, list[Tensor]] = {name: [] for name in layers}
    with untouched(subject), torch.no_grad(), tapped(subject, first, layers) as read:
        for batch in chain([first], ready):
            for name, value in read(batch.to(device)).items():
                parts[name].append(reduce(value).float().cpu())
    return {name: torch.cat(found) for name, found in parts.items()}
