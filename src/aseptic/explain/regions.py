"""The small, connected parts of an image that an explanation points at, at several sizes."""

import heapq
import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.types import Places
from aseptic.explain.base import Maps
from aseptic.ops.axes import along, smoothing

Map = Float[Tensor, "*space"]
"""One map, 0 or more everywhere."""
Place = tuple[int, ...]
"""Position of one pixel along each axis."""


def smoothed(maps: Maps, side: int) -> Maps:
    """Return the mean over the box of ``side`` pixels around every pixel, an odd number; 0 beyond the edges."""
    kernel = torch.full((side,), 1 / side)
    return along(maps[:, None], [smoothing(length, kernel) for length in maps.shape[1:]])[:, 0].clamp(min=0)


def grown(values: Map, sizes: Sequence[int], *, peaks: int = 1) -> Places:
    """Return connected regions around the highest peaks of a map, ``[peak * size, *space]``; there may be fewer.

    From a peak on, the neighbour with the highest value is taken in, again and again: whenever the last one at or above
    some value is in, the region is the connected part of the map at or above that value. Each region therefore holds
    the smaller ones. Of equal values the one nearest to the start comes first, and the start is the pixel of the peak
    nearest to its centre. Pixels of value 0 are never taken in, so that a region may be smaller than asked for, and a
    map of 0 has none. The next peak is the highest pixel outside the largest region around the ones before.

    >>> grown(torch.tensor([[0.0, 3, 1], [0, 1, 2]]), [1, 3]).int()
    tensor([[[0, 1, 0],
             [0, 0, 0]],
    <BLANKLINE>
            [[0, 1, 1],
             [0, 0, 1]]], dtype=torch.int32)

    Args:
        values: The map.
        sizes: Pixels of the regions around one peak, the smallest first.
        peaks: Peaks that are looked at.
    """
    space, left = tuple(values.shape), values.detach().double().cpu().numpy().copy()
    found: list[Tensor] = []
    for _ in range(peaks):
        if left.max(initial=0) <= 0:
            break
        order = list(_taken(left, sizes[-1]))
        reached = dict.fromkeys(min(size, len(order)) for size in sizes)
        for size in reached:
            region = torch.zeros(space, dtype=torch.bool)
            region.view(-1)[order[:size]] = True
            found.append(region)
        left.flat[order] = 0
    return torch.stack(found) if found else torch.zeros((0, *space), dtype=torch.bool)


def _taken(values: Float[np.ndarray, "*space"], count: int) -> Iterator[int]:
    """Yield the flat positions of at most ``count`` pixels in the order in which they are taken in."""
    space, flat = values.shape, values.ravel()
    top = np.argwhere(values == values.max())
    start = top[((top - top.mean(0)) ** 2).sum(1).argmin()]
    first: Place = tuple(start.tolist())
    waiting: list[tuple[float, float, Place]] = [(-float(values.max()), 0.0, first)]
    seen = {first}
    for _ in range(count):
        if not waiting:
            return
        place = heapq.heappop(waiting)[2]
        yield int(np.ravel_multi_index(place, space))
        for axis in range(len(space)):
            for step in (-1, 1):
                beside = (*place[:axis], place[axis] + step, *place[axis + 1 :])
                if beside in seen or not 0 <= beside[axis] < space[axis]:
                    continue
                value = float(flat[np.ravel_multi_index(beside, space)])
                if value > 0:
                    seen.add(beside)
                    heapq.heappush(waiting, (-value, math.dist(beside, first), beside))
