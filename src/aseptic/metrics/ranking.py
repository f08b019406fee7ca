"""Area under the ROC curve: exact with ties, for all bootstrap draws at once."""

import numpy as np
from jaxtyping import Bool, Float, Int

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.metrics.bootstrap import Column, Measured, Resample, not_measured
from aseptic.metrics.intervals import UNKNOWN, Draws, auroc_score_interval, percentile

Table = Float[np.ndarray, "image output"]
"""One number for each image and output; NaN for an unknown target."""

CELLS = 1 << 21
"""Images times draws that are ranked at a time, which bounds the memory."""


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
    known = ~np.isnan(positive)
    if np.isnan(scores[known]).any():
        raise InputError(f"scores must be numbers, got {int(np.isnan(scores[known]).sum())} NaN")
    if not known.any():
        return np.full(len(weights), np.nan)
    order = np.flatnonzero(known)[np.argsort(scores[known], kind="stable")]
    ranked, is_positive = scores[order], positive[order] == 1
    starts = np.flatnonzero(np.concatenate([[True], ranked[1:] != ranked[:-1]]))
    step = max(1, CELLS // len(order))
    blocks = (weights[at : at + step, order].T for at in range(0, len(weights), step))
    return np.concatenate([_areas(block, is_positive, starts) for block in blocks])


def _areas(
    mass: Float[np.ndarray, "ranked draw"], positive: Bool[np.ndarray, " ranked"], starts: Int[np.ndarray, " tie"]
) -> Draws:
    """Return the area of every draw; images come ranked, and ``starts`` are the first of each run of ties."""
    mass = mass.astype(float)
    hits = np.add.reduceat(mass * positive[:, None], starts, axis=0)
    misses = np.add.reduceat(mass * ~positive[:, None], starts, axis=0)
    below = np.cumsum(misses, axis=0)
    pairs = hits.sum(0) * below[-1]
    ordered = (hits * (below - misses / 2)).sum(0)
    draws: Draws = np.divide(ordered, pairs, out=np.full(len(pairs), np.nan), where=pairs > 0)
    return draws


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


def auroc_macro(scores: Table, targets: Table) -> float:
    """Return the unweighted mean of the outputs' `auroc`, each against all other images that are known for it.

    Outputs without positives or without negatives are left out of the mean, not counted as 0 or 0.5; NaN where no
    output is left. `average` of `measure_auroc` gives it an interval.
    """
    parts = np.array([auroc(scores[:, k], targets[:, k]) for k in range(scores.shape[1])])
    return float(parts[~np.isnan(parts)].mean()) if not np.isnan(parts).all() else float("nan")
