"""Grad-CAM: where the last convolution finds evidence for one output."""

from captum.attr import LayerGradCam
from torch import Tensor

from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.explain.layers import as_maps, chosen_layer
from aseptic.models.subject import Subject


def gradcam(
    subject: Subject, images: Images, outputs: Outputs, *, layer: str | None = None, batch_size: int = 32
) -> Maps:
    r"""Return :math:`\mathrm{ReLU}\bigl(\sum_c \alpha_c A_c\bigr)`, enlarged to the image and divided by its maximum.

    ``A`` are the activations of the layer and :math:`\alpha_c` the mean over space of
    :math:`\partial z_k / \partial A_c`. A map lies in [0, 1]; it is 0 everywhere where nothing speaks for the output.

    Paper: Selvaraju et al. (2017), https://arxiv.org/abs/1610.02391, section 3.
    Departs from it: the layer is found by execution (`last_map`), not chosen by hand; a volume gets one map in three
    axes.
    Blind to: detail finer than the layer's grid; evidence against the output; attention, in a vision transformer.

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
        evidence: Tensor = LayerGradCam(subject, module).attribute(batch, target=wanted, relu_attributions=True)
        return as_maps(evidence.detach(), tuple(batch.shape[2:]))

    return explain_in_batches(subject, images, outputs, attribute, batch_size)
