"""Saliency: the gradient of one logit with respect to every pixel."""

from captum.attr import Saliency
from torch import Tensor

from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.models.subject import Subject


def saliency(subject: Subject, images: Images, outputs: Outputs, *, batch_size: int = 32) -> Maps:
    r"""Return :math:`\sum_c \lvert \partial z_k / \partial x_c \rvert` for each image's output ``k``.

    The unit is logits for each image unit: maps of different images can be compared, they are not normalised.

    Paper: Simonyan, Vedaldi and Zisserman (2014), https://arxiv.org/abs/1312.6034, section 3.
    Departs from it: channels are summed, where the paper takes the largest.
    Blind to: saturated outputs, whose gradient vanishes however much the pixel matters.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        batch_size: Images at a time.

    Raises:
        InputError: An output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    method = Saliency(subject)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        gradient: Tensor = method.attribute(batch, target=wanted, abs=True)
        return gradient.sum(1)

    return explain_in_batches(subject, images, outputs, attribute, batch_size)
