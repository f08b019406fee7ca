"""Whether probabilities mean what they say: Brier score, log-likelihood, calibration error, reliability curve."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from aseptic.core.estimate import Estimate
from aseptic.metrics.bootstrap import SHARE, Measured, Resample, mean, not_measured, ratio
from aseptic.metrics.decisions import Classes, one_hot
from aseptic.metrics.intervals import UNKNOWN, percentile

BINS = 10
"""Bins of equal mass in the calibration error and the reliability curve."""
FLOOR = 1e-12
"""Probabilities below this count as this in the log-likelihood."""

Cells = Float[np.ndarray, "image cell"]
"""Forecasts or outcomes: one column (the decided class) or one for each finding; NaN for unknown outcomes."""


def top_label(scores: Float[np.ndarray, "image output"], targets: Classes) -> tuple[Cells, Cells]:
    """Return the probability of the likeliest class and whether it is the true one, ``[image, 1]`` each.

    Calibration is a property of the probabilities: the operating point plays no part in it.
    """
    return scores.max(1, keepdims=True), (scores.argmax(1) == targets).astype(float)[:, None]


def measure_brier(scores: Float[np.ndarray, "image output"], targets: Classes, sample: Resample) -> Measured:
    r"""Measure the Brier score, :math:`\tfrac12 \sum_k (p_k - y_k)^2` averaged over images, in [0, 1].

    Paper: Brier (1950), doi:10.1175/1520-0493(1950)078<0001:VOFEIT>2.0.CO;2.
    Departs from it: the half, which makes two classes agree with the score of one probability.
    """
    return mean(np.square(scores - one_hot(targets, scores.shape[1])).sum(1) / 2, sample, SHARE)


def measure_brier_findings(scores: Cells, targets: Cells, sample: Resample) -> Measured:
    r"""Measure :math:`(p - y)^2` over the known findings of all images, in [0, 1]."""
    known = ~np.isnan(targets)
    return ratio(np.where(known, np.square(scores - targets), 0.0).sum(1), known.sum(1).astype(float), sample, SHARE)


def measure_nll(scores: Float[np.ndarray, "image output"], targets: Classes, sample: Resample) -> Measured:
    r"""Measure :math:`-\log p_y` averaged over images, in nats; probabilities are at least `FLOOR`."""
    own = np.take_along_axis(scores, targets[:, None], 1)[:, 0]
    return mean(-np.log(own.clip(FLOOR).astype(float)), sample)


def measure_nll_findings(scores: Cells, targets: Cells, sample: Resample) -> Measured:
    r"""Measure :math:`-\log p` of what is known, over the known findings of all images, in nats."""
    known = ~np.isnan(targets)
    right = np.where(targets == 1, scores, 1 - scores).clip(FLOOR).astype(float)
    return ratio(np.where(known, -np.log(right), 0.0).sum(1), known.sum(1).astype(float), sample)


def equal_mass(confidence: Float[np.ndarray, " forecast"], bins: int = BINS) -> Int[np.ndarray, " forecast"]:
    """Return the bin of each forecast, 0 to ``bins - 1``: equally many in each, equal forecasts in the same one."""
    rank = np.searchsorted(np.sort(confidence), confidence, side="left")
    return (rank * bins) // max(len(confidence), 1)


def measure_ece(confidence: Cells, outcome: Cells, sample: Resample, bins: int = BINS) -> Measured:
    r"""Measure the expected calibration error over bins of equal mass.

    :math:`\sum_b \frac{n_b}{n} \lvert \text{mean confidence}_b - \text{mean outcome}_b \rvert`; findings are pooled.

    The bins are those of all images, in every draw. A binned error is never negative and so too large in small sets,
    and larger still in their resamples; the draws are shifted back to the measured value before the interval is taken.
    There is no interval where no draw differs: one patient, or forecasts that are all exactly right.

    Paper: Guo et al. (2017), https://arxiv.org/abs/1706.04599, section 2; equal mass: Nixon et al. (2019),
    https://arxiv.org/abs/1904.01685.
    Blind to: errors that cancel inside a bin; for several classes, all probabilities but the largest.
    """
    known = ~np.isnan(outcome)
    if not known.any():
        return not_measured(sample)
    gap = _per_bin(confidence - np.where(known, outcome, 0.0), confidence, known, bins)
    count = known.sum(1).astype(float)
    value = float(np.abs(gap.sum(0)).sum() / count.sum())
    total = sample.weights @ count
    draws = np.abs(sample.weights @ gap).sum(1)
    draws = np.divide(draws, total, out=np.full(len(total), np.nan), where=total > 0)
    draws = (draws + value - draws[total > 0].sum() / max((total > 0).sum(), 1)).clip(*SHARE)
    low, high = percentile(draws) if len(np.unique(draws[total > 0])) > 1 else UNKNOWN
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=int(known.any(1).sum())), draws=draws)


@dataclass(frozen=True, kw_only=True)
class ReliabilityRow:
    """One bin of a reliability curve."""

    low: float
    """Smallest forecast in the bin."""
    high: float
    """Largest forecast in the bin."""
    confidence: float
    """Mean forecast in the bin."""
    observed: Estimate
    """How often the outcome was 1; counts images."""


def reliability(confidence: Cells, outcome: Cells, sample: Resample, bins: int = BINS) -> tuple[ReliabilityRow, ...]:
    """Return the reliability curve over the same bins as `measure_ece`; empty bins (ties) are left out."""
    known = ~np.isnan(outcome)
    forecasts = confidence[known]
    number = equal_mass(forecasts, bins)
    outcomes = _per_bin(np.where(known, outcome, 0.0), confidence, known, bins)
    counts = _per_bin(np.ones_like(confidence), confidence, known, bins)
    return tuple(
        ReliabilityRow(
            low=float(forecasts[number == b].min()),
            high=float(forecasts[number == b].max()),
            confidence=float(forecasts[number == b].mean()),
            observed=ratio(outcomes[:, b], counts[:, b], sample, SHARE).estimate,
        )
        for b in np.unique(number).tolist()
    )


def _per_bin(
    values: Cells, confidence: Cells, known: np.ndarray[tuple[int, ...], np.dtype[np.bool_]], bins: int
) -> Float[np.ndarray, "image bin"]:
    """Return the sum of each image's known values in every bin."""
    table = np.zeros((len(values), bins))
    np.add.at(table, (np.nonzero(known)[0], equal_mass(confidence[known], bins)), values[known])
    return table
