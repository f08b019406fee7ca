"""Gradients with respect to images, and to nothing else."""

from collections.abc import Callable

import torch
from torch import Tensor

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
    logits, total = _recorded(model, lambda answers: objective(answers).sum(), leaf)
    (gradient,) = torch.autograd.grad(total, leaf)
    return logits.detach(), gradient


def linearise(
    model: Callable[[Images], Logits], parts: Callable[[Logits], Tensor], images: Images
) -> tuple[Logits, Tensor, Callable[[Tensor], Images]]:
    """Return the logits, several numbers for each image, and a function that gives the gradient of a chosen one.

    One forward pass, and one backward pass for each call of that function, as long as it is kept.

    Args:
        model: Images to logits; every image must be judged by itself.
        parts: Logits to numbers ``[batch, part]``.
        images: Where to take the gradients; neither changed nor made to require one.

    Raises:
        InputError: The parts do not depend on the images through differentiable operations.
    """
    leaf = images.detach().requires_grad_()
    logits, numbers = _recorded(model, parts, leaf)

    def gradient(columns: Tensor) -> Images:
        chosen = numbers.gather(1, columns[:, None]).sum()
        (found,) = torch.autograd.grad(chosen, leaf, retain_graph=True)
        return found

    return logits.detach(), numbers.detach(), gradient


def _recorded(
    model: Callable[[Images], Logits], objective: Callable[[Logits], Tensor], leaf: Images
) -> tuple[Logits, Tensor]:
    with torch.enable_grad():
        logits = model(leaf.clone())  # some networks write into what they are given
        numbers = objective(logits)
    if not numbers.requires_grad:
        raise InputError("the model must be differentiable: its logits carry no gradient to the images")
    return logits, numbers
