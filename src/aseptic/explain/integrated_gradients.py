"""Integrated gradients: the logit shared out among the pixels, along the way from an image without content."""

from captum.attr import IntegratedGradients
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.explain.base import Maps, Outputs, explain_in_batches
from aseptic.models.subject import Subject
from aseptic.ops.axes import along, gaussian, smoothing

BASELINES = ("blur", "mean", "black")
"""Images without content: the image itself blurred, its mean over space in every channel, or 0."""
BLUR = 0.05
"""Standard deviation of the blur, as a share of each side."""
CUT = 3.0
"""Standard deviations at which the blur is cut off."""


def integrated_gradients(  # noqa: PLR0913 - an explainer's own four, and two settings
    subject: Subject, images: Images, outputs: Outputs, *, baseline: str = "blur", steps: int = 32, batch_size: int = 32
) -> Maps:
    """Return the sum over channels of `contributions` where it speaks for the output, and 0 elsewhere.

    The unit is logits: maps of different images can be compared, they are not normalised.

    Blind to: evidence against the output, and whatever the baseline shares with the image.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        baseline: One of `BASELINES`.
        steps: Gradients for each image.
        batch_size: Images, or points on their ways, at a time.

    Raises:
        InputError: An unknown baseline, no steps, an output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    shared = contributions(subject, images, outputs, baseline=baseline, steps=steps, batch_size=batch_size)
    return shared.sum(1).clamp(min=0)


def contributions(  # noqa: PLR0913 - as above
    subject: Subject, images: Images, outputs: Outputs, *, baseline: str = "blur", steps: int = 32, batch_size: int = 32
) -> Tensor:
    r"""Return :math:`(x_i - b_i) \int_0^1 \partial_i z_k(b + t (x - b))\,dt`, ``[N, channel, *space]``, of either sign.

    They add up to :math:`z_k(x) - z_k(b)`, but for the error of the quadrature (Gauss-Legendre).

    Paper: Sundararajan, Taly and Yan (2017), https://arxiv.org/abs/1703.01365, section 3.
    Departs from it: the baseline is the image blurred, not black: in a radiograph black is a value like any other, and
    a trigger as dark as the baseline would get nothing.
    Blind to: whatever the baseline shares with the image, as `BASELINES` says.

    Args:
        subject: Model that is explained; the same afterwards as before.
        images: ``[N, channel, *space]`` in [0, 1].
        outputs: Logit that is explained, one for each image.
        baseline: One of `BASELINES`.
        steps: Gradients for each image.
        batch_size: Images, or points on their ways, at a time.

    Raises:
        InputError: An unknown baseline, no steps, an output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    if baseline not in BASELINES:
        raise InputError(f"baseline must be one of {', '.join(BASELINES)}; got {baseline!r}")
    if steps < 1:
        raise InputError(f"steps must be at least 1, got {steps}")
    method = IntegratedGradients(subject)

    def attribute(batch: Tensor, wanted: Tensor) -> Tensor:
        found: Tensor = method.attribute(
            batch,
            baselines=without_content(batch.detach(), baseline),
            target=wanted,
            n_steps=steps,
            internal_batch_size=batch_size,
        )
        return found

    return explain_in_batches(subject, images, outputs, attribute, batch_size).reshape(images.shape)


def without_content(images: Images, baseline: str) -> Images:
    """Return the baseline of each image."""
    if baseline == "black":
        return images.new_zeros(images.shape)
    if baseline == "mean":
        return images.mean(tuple(range(2, images.ndim)), keepdim=True).expand_as(images)
    return along(images, [_blurring(length) for length in images.shape[2:]])


def _blurring(length: int) -> Tensor:
    """Return the matrix of the blur along one axis; weights beyond the ends go to the others."""
    spread = BLUR * length
    kernel = gaussian(2 * round(CUT * spread) + 1, CUT) if round(CUT * spread) else gaussian(1, 0)
    matrix = smoothing(length, kernel)
    return matrix / matrix.sum(1, keepdim=True)
