"""Random numbers of a phantom: each depends on the seed, the image or its patient, and a name; never on the batch."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

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

    def _streams(self, key: str, *, patient: bool) -> list[torch.Generator]:
        if patient:
            return [stream(self.seed, self.name, "patient", patient_of(i), key) for i in self.images]
        return [stream(self.seed, self.name, "image", i, key) for i in self.images]

    def uniform(self, key: str, *shape: int, patient: bool = False) -> Tensor:
        """Return uniform numbers in [0, 1), ``[image, *shape]``."""
        return torch.stack([torch.rand(shape, generator=g) for g in self._streams(key, patient=patient)])

    def normal(self, key: str, *shape: int, patient: bool = False) -> Tensor:
        """Return standard normal numbers, ``[image, *shape]``."""
        return torch.stack([torch.randn(shape, generator=g) for g in self._streams(key, patient=patient)])

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
        total, weight, start = torch.zeros(len(self), 1, 1, 1), 1.0, 0
        for grid in grids:
            if grid <= size:
                total = _spread(total, grid)
                total = total + weight * draws[:, start : start + grid * grid].reshape(-1, 1, grid, grid)
            start += grid * grid
            weight *= decay
        power = sum(decay ** (2 * k) for k in range(len(grids)))
        # Interpolation keeps 0.52 of the variance of independent values, averaged over positions.
        return _spread(total, size)[:, 0] / math.sqrt(0.52 * power)


def _spread(coarse: Tensor, size: int) -> Tensor:
    """Interpolate ``[image, 1, n, n]`` to ``size``; passing through the grids one by one is the cheap way up."""
    found: Tensor = F.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return found
