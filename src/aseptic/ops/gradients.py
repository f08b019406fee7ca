"""Gradients with respect to images, and to nothing else."""

from collections.abc import Callable

import torch

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, PerImage


def input_gradient(
    model: Callable[[Images], Logits], objective: Callable[[Logits], PerImage], images: Images
) -> tuple[Logits, Images]:
    """Return the logits, and the gradient of each image's objective with respect to that image.

    One forward and one backward pass. Parameters receive no ``.grad``, whether they ask for one or not.

    Args:
        model: Images to logits; every image must be judged by itself.
        objective: Logits to one number for each image.
        images: Where to take the gradient; neither changed nor made to require one.

    Raises:
        InputError: The objective does not depend on the images through differentiable operations.
    """
    leaf = images.detach().requires_grad_()
    with torch.enable_grad():
        logits = model(leaf.clone())  # some networks write into what they are given
        total = objective(logits).sum()
    if not total.requires_grad:
        raise InputError("the model must be differentiable: its logits carry no gradient to the images")
    (gradient,) = torch.autograd.grad(total, leaf)
    return logits.detach(), gradient
