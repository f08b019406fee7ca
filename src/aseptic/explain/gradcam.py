"""Grad-CAM: where the last convolution finds evidence for one output."""

from captum.attr import LayerGradCam
from torch import Tensor, nn

from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.explain.layers import last_map, named_layer
from aseptic.models.subject import Subject
from aseptic.ops.images import resize


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
    module = _layer(subject, images, layer)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        evidence: Tensor = LayerGradCam(subject, module).attribute(batch, target=wanted, relu_attributions=True)
        maps = resize(evidence.detach(), tuple(batch.shape[2:]))[:, 0]
        peak = maps.flatten(1).amax(1).reshape(-1, *(1,) * (maps.ndim - 1))
        # Antialiased resizing may leave the range by a rounding.
        return (maps / peak.where(peak > 0, 1)).clamp(0, 1)

    return explain_in_batches(subject, images, outputs, attribute, batch_size)


def _layer(subject: Subject, images: Images, name: str | None) -> nn.Module:
    return last_map(subject, images)[1] if name is None else named_layer(subject, name)
