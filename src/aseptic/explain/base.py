"""What every explanation is: one map for each image, of how much each pixel matters to one output."""

from collections.abc import Callable
from typing import Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

Maps = Float[Tensor, "batch *space"]
"""One map for each image, 0 or more everywhere, of the images' own size."""
Outputs = Int[Tensor, " explained"]
"""Number of the output that is explained, one for each image."""


@runtime_checkable
class Explainer(Protocol):
    """A function that explains one output of each image."""

    def __call__(self, subject: Subject, images: Images, outputs: Outputs, *, batch_size: int = 32) -> Maps:
        """Return one map for each image."""


def explain_in_batches(
    subject: Subject, images: Images, outputs: Outputs, attribute: Callable[[Tensor, Tensor], Tensor], batch_size: int
) -> Tensor:
    """Return ``attribute(batch, outputs)`` of batches that carry gradients, with the model frozen and checked.

    Raises:
        InputError: An output that the model does not have, or not one for each image.
        ContractError: The model was changed.
    """
    count = len(subject.task.classes)
    if len(outputs) != len(images) or not ((outputs >= 0) & (outputs < count)).all():
        raise InputError(f"outputs must lie in 0..{count - 1}, one for each of {len(images)} images, got {[*outputs]}")
    if len(images) == 0:
        return images.new_zeros((0, *images.shape[2:]))
    device = next(subject.parameters(), images).device
    with untouched(subject):
        parts = [
            attribute(batch.detach().to(device, copy=True).requires_grad_(), wanted.to(device))
            for batch, wanted in zip(torch.split(images, batch_size), torch.split(outputs, batch_size), strict=True)
        ]
    return torch.cat(parts).detach().to(images.device)


def decided(subject: Subject, images: Images, *, batch_size: int = 32) -> Outputs:
    """Return the output that each decision rests on: the one that lies highest above its operating point.

    For multiclass that is the decided class; for multilabel the finding that is reported most clearly, or, where none
    is reported, the one that comes closest to it.
    """
    device = next(subject.parameters(), images).device
    with untouched(subject), torch.no_grad():
        rows = [subject.task.shift(subject(batch.to(device))).argmax(1) for batch in torch.split(images, batch_size)]
    return torch.cat(rows).to(images.device)
