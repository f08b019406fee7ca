"""Random numbers of a phantom: each depends on the seed, the image or its patient, and a name; never on the batch."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.rng import stream

_SHARING = (0, 1, 1, 2, 3, 3)
"""Which patient of a block each of six images shows: two of four patients come twice."""


def patient_of(image: int) -> int:
    """Return the number of the patient that image ``image`` shows.

    >>> [patient_of(i) for i in range(8)]
    [0, 1, 1, 2, 3, 3, 4, 5]
    """
    block, place = divmod(image, len(_SHARING))
    return block * (max(_SHARING) + 1) + _SHARING[place]


@dataclass(frozen=True, kw_only=True)
class Dice:
    """Named draws for a run of images; the first axis of everything it returns is the image."""

    seed: int
    """Root seed."""
    name: str
    """Phantom that is drawn."""
    images: Sequence[int]
    """Numbers of the images."""

    def __len__(self) -> int:
        return len(self.images)

    def _draws(self, key: str, patient: bool, one: Callable[[torch.Generator], Tensor]) -> Tensor:  # noqa: FBT001
        if not patient:
            return torch.stack([one(stream(self.seed, self.name, "image", i, key)) for i in self.images])
        drawn = {
            who: one(stream(self.seed, self.name, "patient", who, key))
            for who in sorted(set(map(patient_of, self.images)))
        }
        return torch.stack([drawn[patient_of(i)] for i in self.images])

    def only(self, chosen: Tensor) -> "Dice":
        """Return the dice of the images at the places ``chosen``."""
        return replace(self, images=[self.images[place] for place in chosen.tolist()])

    def uniform(self, key: str, *shape: int, patient: bool = False) -> Tensor:
        """Return uniform numbers in [0, 1), ``[image, *shape]``."""
        return self._draws(key, patient, lambda generator: torch.rand(shape, generator=generator))

    def normal(self, key: str, *shape: int, patient: bool = False) -> Tensor:
        """Return standard normal numbers, ``[image, *shape]``."""
        return self._draws(key, patient, lambda generator: torch.randn(shape, generator=generator))

    def within(self, key: str, *ranges: tuple[float, float], patient: bool = False) -> tuple[Tensor, ...]:
        """Return one number of each range, each ``[image, 1, 1]``, ready to meet a plane of pixels."""
        drawn = self.uniform(key, len(ranges), patient=patient)
        low, high = torch.tensor(ranges).unbind(1)
        return (low + (high - low) * drawn)[:, :, None, None].unbind(1)

    def shuffled(self, count: int) -> Tensor:
        """Return a class for each image, ``[image]``: each class once in every ``count`` consecutive images."""
        orders = [
            torch.randperm(count, generator=stream(self.seed, self.name, "class", i // count)) for i in self.images
        ]
        return torch.stack([order[i % count] for order, i in zip(orders, self.images, strict=True)])

    def field(self, key: str, size: int, *grids: int, decay: float = 0.6, patient: bool = False) -> Tensor:
        """Return smooth noise of unit variance, ``[image, size, size]``: the same field at every size.

        Each of ``grids`` is the number of independent values along an edge; later ones weigh ``decay`` of the one
        before. Detail finer than the pixels is left out.
        """
        draws = self.normal(key, sum(g * g for g in grids), patient=patient)
        power = sum(decay ** (2 * k) for k in range(len(grids)))
        # Interpolation keeps 0.52 of the variance of independent values, averaged over positions.
        weight, start, total = 1 / math.sqrt(0.52 * power), 0, None
        for grid in grids:
            if grid <= size:
                fresh = draws[:, start : start + grid * grid].reshape(-1, grid, grid) * weight
                total = fresh if total is None else _spread(total, grid).add_(fresh)
            start += grid * grid
            weight *= decay
        return torch.zeros(len(self), size, size) if total is None else _spread(total, size)


def _spread(coarse: Tensor, size: int) -> Tensor:
    """Interpolate ``[image, n, n]`` to ``size``; passing through the grids one by one is the cheap way up."""
    weights = _bicubic(coarse.shape[-1], size).expand(len(coarse), -1, -1)
    # One product for each image: a joint one could round differently in another batch.
    return torch.bmm(torch.bmm(weights, coarse), weights.mT)


@cache
def _bicubic(count: int, size: int) -> Tensor:
    """Return the weights of ``count`` values along an edge at each of ``size`` pixels, ``[size, count]``."""
    found: Tensor = F.interpolate(
        torch.eye(count, dtype=torch.float32)[None, :, :, None], (size, 1), mode="bicubic", align_corners=False
    )
    return found[0, :, :, 0].T.contiguous()
