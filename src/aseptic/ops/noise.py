"""Control noise: as large as an attack, value for value, but aimed at nothing."""

from collections.abc import Sequence

import torch

from aseptic.core.types import Images


def shuffle_within(perturbation: Images, rng: Sequence[torch.Generator]) -> Images:
    """Return each perturbation with its values permuted over all its channels and positions.

    The sorted values, and with them every norm, stay exactly as they were.

    Args:
        perturbation: What was added to each image.
        rng: One CPU stream for each image.
    """
    shuffled = torch.empty_like(perturbation)
    for row, (values, own) in enumerate(zip(perturbation, rng, strict=True)):
        order = torch.randperm(values.numel(), generator=own).to(values.device)
        shuffled[row] = values.flatten()[order].reshape(values.shape)
    return shuffled
