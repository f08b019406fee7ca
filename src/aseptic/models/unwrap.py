"""Networks that end in a softmax or a sigmoid, turned back into what every loss here expects."""

import torch
from torch import Tensor, nn


class FromProbabilities(nn.Module):
    r"""Logits of a network that returns probabilities.

    :math:`\log p` for a softmax, :math:`\log p - \log(1 - p)` for sigmoids; probabilities are first moved by one
    rounding unit off 0 and 1, where the logarithm has no finite value.
    """

    def __init__(self, network: nn.Module, *, task: str) -> None:
        """Wrap ``network``, whose outputs are probabilities of the ``task`` (``multiclass`` or ``multilabel``)."""
        super().__init__()
        self.network = network
        self.independent = task == "multilabel"

    def forward(self, images: Tensor) -> Tensor:
        """Return logits ``[batch, output]``."""
        found: Tensor = self.network(images)
        info = torch.finfo(found.dtype)
        if self.independent:
            return torch.logit(found.clamp(info.tiny, 1 - info.eps))
        return found.clamp_min(info.tiny).log()


def unwrapped(module: nn.Module) -> nn.Module:
    """Return the network whose weights are stored: without `FromProbabilities`, whose name no file knows."""
    return module.network if isinstance(module, FromProbabilities) else module
