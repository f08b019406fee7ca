"""How far an attack moves where the network looks, in three numbers for each image."""

from dataclasses import dataclass

import numpy as np
from scipy.stats import rankdata
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.metrics.bootstrap import Column
from aseptic.metrics.localisation import Flat, constant, flattened, overlap, top_pixels

TOP = 0.1
"""Share of the pixels that count as where the network looks."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Drift:
    """One number for each image; NaN where one of the two maps is constant, as it then points nowhere."""

    rank: Column
    """Spearman's rank correlation of the pixels; 1 is the same order, 0 is unrelated."""
    overlap: Column
    """Intersection over union of the top tenth of the pixels, in [0, 1]."""
    shift: Column
    """Distance between the centres of mass, as a fraction of the image's diagonal, in [0, 1]."""


def drift(first: Tensor, second: Tensor) -> Drift:
    """Compare the maps of clean images with those of their attacked copies.

    The top tenth holds every pixel at or above the 90th percentile, ties included, but never the map's smallest value:
    of a map that is 0 almost everywhere it is what is not 0.

    Args:
        first: Maps of the clean images, ``[N, *space]``.
        second: Maps of the attacked ones.

    Raises:
        InputError: The shapes differ, or a map has negative or NaN values.
    """
    if first.shape != second.shape:
        raise InputError(f"maps must have one shape, got {list(first.shape)} and {list(second.shape)}")
    a, b = flattened(first), flattened(second)
    values = {
        "rank": _spearman(a, b),
        "overlap": overlap(top_pixels(a, TOP), top_pixels(b, TOP)),
        "shift": _shift(a, b, tuple(first.shape[1:])),
    }
    nowhere = constant(a) | constant(b)
    return Drift(**{name: np.where(nowhere, np.nan, value) for name, value in values.items()})


def _spearman(a: Flat, b: Flat) -> Column:
    ranks = [rankdata(maps, axis=1) for maps in (a, b)]
    x, y = (rank - rank.mean(1, keepdims=True) for rank in ranks)
    length = np.sqrt((x * x).sum(1) * (y * y).sum(1))
    correlation: Column = np.divide((x * y).sum(1), length, out=np.full(len(a), np.nan), where=length > 0)
    return correlation


def _shift(a: Flat, b: Flat, space: tuple[int, ...]) -> Column:
    places = np.indices(space).reshape(len(space), -1).T
    centres = [maps @ places / np.maximum(maps.sum(1), np.finfo(float).tiny)[:, None] for maps in (a, b)]
    diagonal = np.linalg.norm(np.array(space) - 1)
    distance: Column = np.linalg.norm(centres[0] - centres[1], axis=1) / max(diagonal, 1)
    return distance
