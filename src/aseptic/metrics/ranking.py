"""The ROC curve, its area and a point on it: exact with ties, for all bootstrap draws at once."""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.types import Number
from aseptic.metrics.bootstrap import ROUNDING, Column, Measured, Resample, not_measured
from aseptic.metrics.intervals import UNKNOWN, Draws, auroc_score_interval, percentile, wilson

Table = Float[np.ndarray, "image output"]
"""One number for each image and output; NaN for an unknown target."""

Mass = Float[np.ndarray, "score draw"]
"""Weight of the images at each score, in each draw."""

CELLS = 1 << 21
"""Images times draws that are ranked at a time, which bounds the memory."""
FEW = 0.05
"""Share of false alarms that is tolerated."""


def auroc(scores: Column, positive: Column, weights: Column | None = None) -> float:
    r"""Return the weighted share of pairs that are in order, ties counting half.

    :math:`\sum_{i \in P, j \in N} w_i w_j \bigl([s_i > s_j] + \tfrac12 [s_i = s_j]\bigr) / \sum_P w \sum_N w`

    Args:
        scores: Higher means more likely positive, ``[image]``.
        positive: 1, 0, or NaN for unknown (left out), ``[image]``.
        weights: Weight of each image, 0 or more; None counts every image once.

    Returns:
        The area, or NaN where one of the two classes is absent.

    Raises:
        InputError: A score of a known image is NaN.
    """
    rows = np.ones((1, len(scores))) if weights is None else weights[None]
    return float(auroc_draws(scores, positive, rows)[0])


def auroc_draws(scores: Column, positive: Column, weights: Float[np.ndarray, "draw image"]) -> Draws:
    """Return `auroc` for every row of ``weights``: the images are sorted once, then summed cumulatively.

    Raises:
        InputError: A score of a known image is NaN.
    """
    return _draws(scores, positive, weights, _areas)


def _areas(hits: Mass, misses: Mass) -> Draws:
    below = np.cumsum(misses, axis=0)
    pairs = hits.sum(0) * below[-1]
    ordered = (hits * (below - misses / 2)).sum(0)
    areas: Draws = np.divide(ordered, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return areas


def _draws(
    scores: Column,
    positive: Column,
    weights: Float[np.ndarray, "draw image"],
    statistic: Callable[[Mass, Mass], Draws],
) -> Draws:
    """Return a statistic of the positives and negatives at every score, the lowest first, for every draw.

    Raises:
        InputError: A score of a known image is NaN.
    """
    known = ~np.isnan(positive)
    if np.isnan(scores[known]).any():
        raise InputError(f"scores must be numbers, got {int(np.isnan(scores[known]).sum())} NaN")
    if not known.any():
        return np.full(len(weights), np.nan)
    order = np.flatnonzero(known)[np.argsort(scores[known], kind="stable")]
    ranked, is_positive = scores[order], positive[order] == 1
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    step = max(1, CELLS // len(order))
    found = []
    for at in range(0, len(weights), step):
        block = weights[at : at + step, order].T.astype(float)
        sides = (np.add.reduceat(block * side[:, None], starts, axis=0) for side in (is_positive, ~is_positive))
        found.append(statistic(*sides))
    return np.concatenate(found)


def measure_auroc(scores: Column, positive: Column, sample: Resample) -> Measured:
    """Measure `auroc` with the percentile bootstrap by patient.

    At 0 and 1 no draw differs; the interval is then `auroc_score_interval`'s, with patients as the cases.
    """
    value = auroc(scores, positive)
    if np.isnan(value):
        return not_measured(sample)
    draws = auroc_draws(scores, positive, sample.weights)
    known = ~np.isnan(positive)
    if value in {0.0, 1.0}:
        low, high = auroc_score_interval(value, sample.patients(positive == 1), sample.patients(positive == 0))
    else:
        low, high = percentile(draws) if sample.patients(known) > 1 else UNKNOWN
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=int(known.sum())), draws=draws)


def auroc_estimate(scores: Column, positive: Column, sample: Resample) -> Estimate:
    """Return `auroc` with its interval; `n` counts the images whose target is known."""
    return measure_auroc(scores, positive, sample).estimate


def tpr_at_fpr(scores: Column, positive: Column, limit: Number = FEW, weights: Column | None = None) -> float:
    r"""Return the largest share of the positives that a threshold catches with few false alarms.

    :math:`\max_t \{\mathrm{TPR}(t) : \mathrm{FPR}(t) \le \text{limit}\}` over thresholds "at or above a score that
    occurs"; nothing is interpolated. With fewer than ``1 / limit`` negatives it allows no false alarm at all.

    Args:
        scores: Higher means more likely positive, ``[image]``.
        positive: 1, 0, or NaN for unknown (left out), ``[image]``.
        limit: Largest share of the negatives that may be caught, in [0, 1].
        weights: Weight of each image, 0 or more; None counts every image once.

    Returns:
        The share, or NaN where one of the two classes is absent.

    Raises:
        InputError: A score of a known image is NaN, or the limit is not in [0, 1].
    """
    rows = np.ones((1, len(scores))) if weights is None else weights[None]
    return float(tpr_draws(scores, positive, rows, limit)[0])


def tpr_draws(scores: Column, positive: Column, weights: Float[np.ndarray, "draw image"], limit: Number = FEW) -> Draws:
    """Return `tpr_at_fpr` for every row of ``weights``.

    Raises:
        InputError: A score of a known image is NaN, or the limit is not in [0, 1].
    """
    if not 0 <= limit <= 1:
        raise InputError(f"limit must lie in [0, 1], got {limit:g}")
    return _draws(scores, positive, weights, partial(_caught, limit=limit))


def _caught(hits: Mass, misses: Mass, limit: Number) -> Draws:
    caught, alarms = (np.cumsum(side[::-1], axis=0) for side in (hits, misses))
    # 0.29 * 100 is a rounding below 29.
    allowed = alarms <= limit * (1 + ROUNDING) * alarms[-1]
    most = np.where(allowed, caught, 0).max(0)
    both = (caught[-1] > 0) & (alarms[-1] > 0)
    shares: Draws = np.divide(most, caught[-1], out=np.full(len(most), np.nan), where=both)
    return shares


def measure_tpr(scores: Column, positive: Column, sample: Resample, limit: Number = FEW) -> Measured:
    """Measure `tpr_at_fpr` with the percentile bootstrap by patient; every draw finds its own threshold.

    At 0 and 1 no draw differs; the interval is then Wilson's, with the patients of the positives as the cases.
    """
    value = tpr_at_fpr(scores, positive, limit)
    if np.isnan(value):
        return not_measured(sample)
    draws = tpr_draws(scores, positive, sample.weights, limit)
    known = ~np.isnan(positive)
    if value in {0.0, 1.0}:
        low, high = wilson(value, sample.patients(positive == 1))
    else:
        low, high = percentile(draws) if sample.patients(known) > 1 else UNKNOWN
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=int(known.sum())), draws=draws)


def auroc_macro(scores: Table, targets: Table) -> float:
    """Return the unweighted mean of the outputs' `auroc`, each against all other images that are known for it.

    Outputs without positives or without negatives are left out of the mean, not counted as 0 or 0.5; NaN where no
    output is left. `average` of `measure_auroc` gives it an interval.
    """
    parts = np.array([auroc(scores[:, k], targets[:, k]) for k in range(scores.shape[1])])
    return float(parts[~np.isnan(parts)].mean()) if not np.isnan(parts).all() else float("nan")
