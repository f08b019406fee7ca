"""Control noise: as large as an attack, value for value, but aimed at nothing."""

from collections.abc import Sequence

import torch

from aseptic.core.types import Images, Places


def shuffle_within(perturbation: Images, rng: Sequence[torch.Generator], where: Places | None = None) -> Images:
    """Return each perturbation with its values permuted over all its channels and positions.

    The sorted values, and with them every norm, stay exactly as they were.

    Args:
        perturbation: What was added to each image.
        rng: One CPU stream for each image.
        where: Positions that are permuted among themselves; what lies elsewhere stays. None: all of them.
    """
    if where is None:
        where = torch.ones_like(perturbation[:, 0], dtype=torch.bool)
    shuffled = perturbation.clone()
    for values, inside, own in zip(shuffled, where, rng, strict=True):
        chosen = values[:, inside]
        order = torch.randperm(chosen.numel(), generator=own).to(chosen.device)
        values[:, inside] = chosen.flatten()[order].reshape(chosen.shape)
    return shuffled
