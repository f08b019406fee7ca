"""Grad-CAM as one paper released it: the classifier's last layer applied to an earlier map than its own."""

import math

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.explain.layers import as_maps, last_grid, read_layer
from aseptic.models.layers import Executed, executed, named_layer
from aseptic.models.subject import Subject


def gradcam_skipping(  # noqa: PLR0913 - an explainer's own four, and where to look
    subject: Subject,
    images: Images,
    outputs: Outputs,
    *,
    layer: str | None = None,
    head: str | None = None,
    batch_size: int = 32,
) -> Maps:
    r"""Return :math:`\mathrm{ReLU}\bigl(\tfrac{1}{P} \sum_c W_{kc} A_c\bigr)`, enlarged and divided by its maximum.

    ``A`` are the activations of an earlier layer on ``P`` places, ``W`` the weights of the final linear layer. That is
    Grad-CAM of a network that does not exist: the earlier map, its mean over space, and the final layer, with every
    block between them left out. It can be computed only where both happen to have as many channels, as in a
    DenseNet-121, whose last transition and last block have 1024.

    Paper: Nwadike et al. (2021), https://arxiv.org/abs/2101.00008; not the text but the released code, which looks at
    ``pool4_relu`` of a Keras DenseNet-121. Here to compare their pictures with those of `gradcam`.
    Departs from it: the layer is found by execution: the last one with as many channels as the final layer has inputs
    before the grid changes for the last time.
    Blind to: what the deployed network does with the map: channels of the earlier layer have no reason to mean what
    the weights take them for.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        layer: Name of the module to look at; None finds it.
        head: Name of the final linear layer; None takes the last one executed.
        batch_size: Images at a time.

    Raises:
        InputError: No such layers, or their channels do not agree; an output that the model does not have, or not one
            for each image.
        ContractError: The model was changed.
    """
    order = executed(subject, images)
    final = _final(subject, order, head)
    module = _earlier(subject, order, final) if layer is None else named_layer(subject, layer)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        with torch.no_grad():
            _, maps = read_layer(subject, module, batch)
            if maps.shape[1] != final.in_features:
                raise InputError(
                    f"layer must have {final.in_features} channels, as many as the final linear layer has inputs, "
                    f"got {maps.shape[1]} of {layer!r}"
                )
            weights = final.weight[wanted] / maps[0, 0].numel()
            evidence = torch.einsum("nc,nc...->n...", weights, maps)[:, None]
            return as_maps(evidence.relu(), tuple(batch.shape[2:]))

    return explain_in_batches(subject, images, outputs, attribute, batch_size)


def _final(subject: Subject, order: list[Executed], name: str | None) -> nn.Linear:
    linear = [one.module for one in order if isinstance(one.module, nn.Linear)]
    found = named_layer(subject, name) if name is not None else linear[-1] if linear else None
    count = len(subject.task.classes)
    if not isinstance(found, nn.Linear) or found.out_features != count:
        raise InputError(
            f"the final layer of {subject.name} must be a linear one with {count} outputs, got {found or 'none'}"
        )
    return found


def _earlier(subject: Subject, order: list[Executed], final: nn.Linear) -> nn.Module:
    """Return the last module with the final layer's channels before the last change of the grid."""
    grid = last_grid(subject, order)
    last = max(place for place, one in enumerate(order) if one.grid == grid)
    for one in reversed(order[:last]):
        finer = len(one.grid) == len(grid) and math.prod(one.grid) > math.prod(grid)
        if finer and one.shape[1] == final.in_features:
            return one.module
    raise InputError(
        f"{subject.name} has no map of {final.in_features} channels, as its final linear layer takes, before its grid "
        f"changes to {'x'.join(map(str, grid))}: its last blocks cannot be skipped"
    )
