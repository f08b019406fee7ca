"""Occlusion: how far the logit falls when a grey box hides a part of the image."""

from captum.attr import Occlusion
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.models.subject import Subject


def occlusion(  # noqa: PLR0913 - an explainer's own four, and three settings
    subject: Subject,
    images: Images,
    outputs: Outputs,
    *,
    window: Number = 0.125,
    stride: Number = 0.0625,
    fill: Number = 0.5,
    batch_size: int = 32,
) -> Maps:
    r"""Return, at every pixel, the mean fall of the logit over the boxes that hide it, or 0 where it rises.

    :math:`\mathrm{ReLU}\bigl(\tfrac{1}{|B_p|} \sum_{b \in B_p} z_k(x) - z_k(x_b)\bigr)` with :math:`B_p` the boxes on a
    regular grid that cover pixel ``p``, and :math:`x_b` the image with box ``b`` filled with grey in every channel. The
    unit is logits: maps of different images can be compared, they are not normalised. No gradient is needed.

    Paper: Zeiler and Fergus (2014), https://arxiv.org/abs/1311.2901, section 4.2.
    Departs from it: shows the fall of the logit and not the probability that is left, which saturates.
    Blind to: evidence that two places hold alike, of which either would do; what looks like the grey of the box.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        window: Side of the box, as a share of each side of the image; it costs about ``stride`` to the power of minus
            the number of axes evaluations for each image, 256 in an image and 4096 in a volume as it stands.
        stride: Step between boxes, as a share of each side of the image; no more than the window.
        fill: Grey of the box, in [0, 1].
        batch_size: Images at a time, hidden ones among them.

    Raises:
        InputError: A setting outside its range, an output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    if not 0 < stride <= window <= 1:
        raise InputError(f"window and stride must lie in (0, 1], the stride no larger, got {window:g} and {stride:g}")
    if not 0 <= fill <= 1:
        raise InputError(f"fill must lie in [0, 1], got {fill:g}")
    sides, steps = (tuple(max(1, round(share * n)) for n in images.shape[2:]) for share in (window, stride))
    method = Occlusion(subject)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        found: Tensor = method.attribute(
            batch.detach(),
            sliding_window_shapes=(batch.shape[1], *sides),
            strides=(batch.shape[1], *steps),
            baselines=fill,
            target=wanted,
            perturbations_per_eval=max(1, batch_size // len(batch)),
        )
        return found[:, 0].relu()  # every channel holds the same

    return explain_in_batches(subject, images, outputs, attribute, batch_size)
