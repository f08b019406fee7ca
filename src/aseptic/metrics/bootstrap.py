"""Bootstrap by patient: whole patients are drawn, so that ten images of one patient do not count as ten patients.

A resample is a matrix of multiplicities, ``[draw, image]``. Every statistic that is a weighted mean is then one matrix
product over all draws, and two conditions measured on the same resample are compared pairwise.

Paper: Efron and Tibshirani (1993), chapters 8 and 13 (percentile interval); Field and Welsh (2007) for clusters.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.metrics.intervals import UNKNOWN, Draws, all_equal, percentile, square_and_add

Column = Float[np.ndarray, " image"]
"""One number for each image; NaN where it does not apply."""
SHARE = (0.0, 1.0)
"""Bounds of a share."""
ROUNDING = 1e-12
"""Spread of the draws of a combination that is rounding and nothing else."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Resample:
    """Draws of patients with replacement, shared by everything that is to be compared."""

    weights: Float[np.ndarray, "draw image"]
    """How often each image appears in each draw."""
    groups: Int[np.ndarray, " image"]
    """Number of the patient of each image."""

    def patients(self, rows: Bool[np.ndarray, " image"]) -> int:
        """Return the number of patients behind these images."""
        return len(np.unique(self.groups[rows]))


@dataclass(frozen=True, kw_only=True, eq=False)
class Measured:
    """An estimate together with its draws, so that differences can be taken pairwise."""

    estimate: Estimate
    """What is reported."""
    draws: Draws
    """The statistic on every draw."""
    terms: tuple[Column, Column] | None = None
    """Numerator and denominator of each image, where the statistic is a ratio of sums."""
    bounds: tuple[float, float] | None = None
    """Range of the ratio of a single image, where it has one."""


def resample(groups: Sequence[str | None] | None, n: int, *, draws: int = 1000, rng: np.random.Generator) -> Resample:
    """Draw the patients of ``n`` images with replacement, ``draws`` times.

    Args:
        groups: Patient of each image; None (for one image, or for all) makes an image its own patient.
        n: Number of images.
        draws: Number of resamples.
        rng: Stream that the draws come from; the same stream gives the same draws.

    Raises:
        InputError: The patients do not match the images, or there are no draws.
    """
    if groups is not None and len(groups) != n:
        raise InputError(f"patients must be given for each of {n} images, got {len(groups)}")
    if draws < 1:
        raise InputError(f"draws must be 1 or more, got {draws}")
    names = [(row, "") if name is None else (-1, name) for row, name in enumerate(groups or [None] * n)]
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    members = np.array([numbers[name] for name in names], dtype=np.int64)
    weights = np.zeros((draws, n), dtype=np.float32)
    for row in weights if n else ():
        row[:] = np.bincount(rng.integers(len(numbers), size=len(numbers)), minlength=len(numbers))[members]
    return Resample(weights=weights, groups=members)


def not_measured(sample: Resample) -> Measured:
    """Return what an undefined statistic looks like."""
    return Measured(estimate=NOT_MEASURED, draws=np.full(len(sample.weights), np.nan))


def ratio(
    numerator: Column, denominator: Column, sample: Resample, bounds: tuple[float, float] | None = None
) -> Measured:
    r"""Measure :math:`\sum_i a_i / \sum_i b_i` over the images whose denominator ``b`` is positive.

    The interval is the percentile bootstrap's. Where every image gives the same ratio, resampling shows no spread at
    all: a ratio with ``bounds`` then gets the interval of `all_equal` over the patients. One patient gives none.
    """
    rows = denominator > 0
    if not rows.any():
        return not_measured(sample)
    above, below = numerator[rows].astype(float), denominator[rows].astype(float)
    weights = sample.weights[:, rows]
    each = above / below
    value, patients = float(above.sum() / below.sum()), sample.patients(rows)
    total = weights @ below
    draws = np.divide(weights @ above, total, out=np.full(len(weights), np.nan), where=total > 0)
    ends = percentile(draws) if patients > 1 else UNKNOWN
    if np.ptp(each) == 0:
        value = float(each[0])
        draws[total > 0] = value
        ends = all_equal(value, patients, bounds) if bounds else (value, value) if patients > 1 else UNKNOWN
    return Measured(
        estimate=Estimate(value=value, low=ends[0], high=ends[1], n=int(rows.sum())),
        draws=draws,
        terms=(np.where(rows, numerator, 0.0), np.where(rows, denominator, 0.0)),
        bounds=bounds,
    )


def mean(values: Column, sample: Resample, bounds: tuple[float, float] | None = None) -> Measured:
    """Measure the mean of the values that are not NaN; the interval is that of `ratio`.

    Raises:
        InputError: A value is infinite.
    """
    if np.isinf(values).any():
        raise InputError(f"values must be finite or NaN, got {int(np.isinf(values).sum())} infinite ones")
    known = ~np.isnan(values)
    return ratio(np.where(known, values, 0.0), known.astype(float), sample, bounds)


def average(parts: Sequence[Measured], sample: Resample, n: int) -> Measured:
    """Measure the unweighted mean of the parts that could be measured, such as one number for each class.

    A draw averages the parts that it defines. Where the draws show no spread, the interval is `square_and_add`'s.

    Args:
        parts: What to average; those that were not measured are left out.
        sample: Draws that the parts were measured on.
        n: Number of images behind the parts together.
    """
    found = [part for part in parts if part.estimate.known]
    if not found:
        return not_measured(sample)
    stack = np.stack([part.draws for part in found])
    count = (~np.isnan(stack)).sum(0)
    draws = np.divide(np.nansum(stack, 0), count, out=np.full(stack.shape[1], np.nan), where=count > 0)
    return _combined(found, [1 / len(found)] * len(found), draws, n)


def difference(second: Measured, first: Measured, sample: Resample) -> Measured:
    """Measure ``second - first`` on the same images, draw by draw.

    Ratios with the same denominators (both accuracies of the same images, say) are subtracted image by image, so that
    a condition that changes nothing gets the narrow interval that it deserves. Others get the percentile interval of
    the paired draws, or `square_and_add`'s where these show no spread.
    """
    if not (first.estimate.known and second.estimate.known):
        return not_measured(sample)
    if first.terms and second.terms and np.array_equal(first.terms[1], second.terms[1]):
        bounds = _difference_bounds(second.bounds, first.bounds)
        return ratio(second.terms[0] - first.terms[0], first.terms[1], sample, bounds)
    n = min(first.estimate.n, second.estimate.n)
    return _combined([second, first], [1.0, -1.0], second.draws - first.draws, n)


def differences(second: Mapping[str, Measured], first: Mapping[str, Measured], sample: Resample) -> dict[str, Estimate]:
    """Return ``second - first`` for every name that both have."""
    return {name: difference(second[name], first[name], sample).estimate for name in second if name in first}


def _varies(draws: Draws) -> bool:
    defined = draws[~np.isnan(draws)]
    return len(defined) > 0 and float(np.ptp(defined)) > ROUNDING


def _difference_bounds(
    second: tuple[float, float] | None, first: tuple[float, float] | None
) -> tuple[float, float] | None:
    return (second[0] - first[1], second[1] - first[0]) if second and first else None


def _combined(parts: Sequence[Measured], factors: Sequence[float], draws: Draws, n: int) -> Measured:
    value = math.fsum(factor * part.estimate.value for part, factor in zip(parts, factors, strict=True))
    if _varies(draws):
        low, high = percentile(draws)
    elif any(_varies(part.draws) for part in parts):
        low, high = value, value  # both move together, draw by draw: the same scores measured twice
    else:
        low, high = square_and_add([part.estimate for part in parts], factors)
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=n), draws=draws)
