"""Whether a map points at a region that is known, such as the place of a trigger: four numbers for each image."""

from collections.abc import Mapping
from dataclasses import dataclass, fields

import numpy as np
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.metrics.bootstrap import SHARE, Column, Measured, Resample, mean

FLAT = 1e-6
"""Relative spread below which a map is constant but for rounding."""

Flat = Float[np.ndarray, "image pixel"]
"""Maps, 0 or more everywhere, their pixels in a row."""
Rows = Bool[np.ndarray, "image pixel"]
"""Regions, their pixels in a row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Localisation:
    """One number for each image, all in [0, 1].

    NaN where the region has no pixel. A map that is 0 everywhere shows nothing and has 0, but for ``uniform``.
    """

    hit: Column
    """Pointing game: 1 where the map's maximum lies in the region, else 0; of several maxima, the share that does."""
    overlap: Column
    """Intersection over union of the region and the map's top pixels."""
    mass: Column
    """Share of the map's sum that lies in the region."""
    uniform: Column
    """What a map that is the same everywhere would have as ``mass``: the region's share of the pixels."""


def localisation(
    maps: Float[Tensor, "image *space"],
    regions: Bool[Tensor, "region *place"],
    *,
    top: Number | None = None,
    tolerance: Number = 0,
) -> Localisation:
    """Compare maps with regions, image by image.

    Paper: Zhang et al. (2018), https://arxiv.org/abs/1608.00507, section 4.2: the pointing game, with 15 pixels of
    tolerance on photographs.
    Blind to: why a map points there. One that shows edges alone hits every trigger that has an edge: the same places in
    clean images, and the same trigger before a clean model, belong beside it.

    Args:
        maps: 0 or more everywhere.
        regions: Where the trigger lies.
        top: Share of the pixels that are a map's top, as in `aseptic.explain.drift`; None takes as many as the region
            has, so that 1 can be reached. Either way equal values are all in or all out, and the smallest is never in.
        tolerance: Distance in pixels from the region at which a maximum still counts as a hit.

    Raises:
        InputError: The shapes differ, a map has negative or NaN values, or a setting is outside its range.
    """
    if maps.shape != regions.shape:
        raise InputError(f"maps and regions must have one shape, got {list(maps.shape)} and {list(regions.shape)}")
    if top is not None and not 0 < top <= 1:
        raise InputError(f"top must lie in (0, 1], got {top:g}")
    if not tolerance >= 0:
        raise InputError(f"tolerance must be 0 or more, got {tolerance:g}")
    values, places = flattened(maps), regions.cpu().numpy()
    near = np.array([distance_transform_edt(~place) <= tolerance for place in places], dtype=bool).reshape(values.shape)
    wanted = places.reshape(values.shape)
    highest = top_pixels(values, top) if top is not None else _as_many(values, wanted.sum(1))
    peaks = values == values.max(1, keepdims=True)
    found = {
        "hit": (peaks & near).sum(1) / peaks.sum(1),
        "overlap": overlap(highest, wanted),
        "mass": (values * wanted).sum(1) / np.maximum(values.sum(1), np.finfo(float).tiny),
        "uniform": wanted.mean(1),
    }
    found["hit"] = np.where(values.any(1), found["hit"], 0.0)
    return Localisation(**{name: np.where(wanted.any(1), value, np.nan) for name, value in found.items()})


def measure_localisation(found: Localisation, sample: Resample) -> Mapping[str, Measured]:
    """Measure the mean of each number over the images that have it.

    Infected minus clean, pairwise, is `aseptic.metrics.bootstrap.differences` of two of these on the same sample.
    """
    return {field.name: mean(getattr(found, field.name), sample, SHARE) for field in fields(found)}


def flattened(maps: Float[Tensor, "image *space"]) -> Flat:
    """Return maps with their pixels in a row, in double precision.

    Raises:
        InputError: A map has negative or NaN values.
    """
    rows: Flat = maps.detach().cpu().double().flatten(1).numpy()
    if not (rows >= 0).all():
        raise InputError("maps must be 0 or more everywhere, got negative or NaN values")
    return rows


def constant(maps: Flat) -> Bool[np.ndarray, " image"]:
    """Return which maps are the same everywhere but for rounding, and so point nowhere."""
    flat: Bool[np.ndarray, " image"] = np.ptp(maps, axis=1) <= FLAT * maps.max(1)
    return flat


def top_pixels(maps: Flat, share: Number) -> Rows:
    """Return the pixels at or above the quantile that leaves this share above, ties included.

    Never the map's smallest value: of a map that is 0 almost everywhere it is what is not 0.
    """
    return _from(maps, np.quantile(maps, 1 - share, axis=1, keepdims=True))


def overlap(first: Rows, second: Rows) -> Column:
    """Return the intersection over union; 0 where both are empty."""
    shared: Column = (first & second).sum(1) / np.maximum((first | second).sum(1), 1)
    return shared


def _as_many(maps: Flat, counts: np.ndarray) -> Rows:
    """Return the highest ``counts`` pixels of each map, ties included."""
    ranked = -np.sort(-maps, axis=1)
    return _from(maps, np.take_along_axis(ranked, np.maximum(counts - 1, 0)[:, None], axis=1))


def _from(maps: Flat, limit: np.ndarray) -> Rows:
    found: Rows = (maps >= limit) & (maps > maps.min(1, keepdims=True))
    return found
