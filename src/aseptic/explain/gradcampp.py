"""Grad-CAM++: Grad-CAM whose places are weighed by higher derivatives, for evidence in several places."""

import torch
from torch import Tensor

from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.explain.layers import as_maps, chosen_layer, read_layer
from aseptic.models.subject import Subject


def gradcampp(
    subject: Subject, images: Images, outputs: Outputs, *, layer: str | None = None, batch_size: int = 32
) -> Maps:
    r"""Return :math:`\mathrm{ReLU}\bigl(\sum_c w_c A_c\bigr)`, enlarged to the image and divided by its maximum.

    ``A`` are the activations of the layer, :math:`g_{cp} = \partial z_k / \partial A_{cp}` at place ``p``, and
    :math:`w_c = \sum_p \alpha_{cp} \mathrm{ReLU}(g_{cp})` with
    :math:`\alpha_{cp} = g_{cp}^2 / \bigl(2 g_{cp}^2 + g_{cp}^3 \sum_q A_{cq}\bigr)`: the paper's closed form for the
    score :math:`\exp(z_k)`, whose own factor is gone once the map is divided by its maximum.

    Paper: Chattopadhyay et al. (2018), https://arxiv.org/abs/1710.11063, equations 5, 7 and 19.
    Departs from it: activations below 0 count as 0 in the sum, so that no weight has a pole where the layer ends in
    no ReLU; the layer is found by execution (`last_map`).
    Blind to: detail finer than the layer's grid; evidence against the output; how steep anything but the ReLUs and
    linear layers above the layer is, since second derivatives of the logit are taken for 0.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        layer: Name of the module to look at; None takes `last_map`.
        batch_size: Images at a time.

    Raises:
        InputError: No layer to look at, an output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    module = chosen_layer(subject, images, layer)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        logits, maps = read_layer(subject, module, batch)
        (gradient,) = torch.autograd.grad(logits.gather(1, wanted[:, None]).sum(), maps)
        places, rising = tuple(range(2, maps.ndim)), gradient.relu()
        # With g > 0, alpha g is g / (2 + g sum A); with g <= 0 the paper's ReLU makes it 0.
        total = maps.relu().sum(places, keepdim=True)
        weights = (rising / (2 + rising * total)).sum(places, keepdim=True)
        return as_maps((weights * maps).sum(1, keepdim=True).relu().detach(), tuple(batch.shape[2:]))

    return explain_in_batches(subject, images, outputs, attribute, batch_size)
