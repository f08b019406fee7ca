"""One number from several trainings: the mean over the seeds, and where the mean of many more would lie."""

import math
from collections.abc import Sequence

from scipy.stats import t as student_t

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.metrics.intervals import UNKNOWN, all_equal

TAIL = 0.975
"""Probability below the upper end of an interval."""


def student(values: Sequence[float], bounds: tuple[float, float]) -> tuple[float, float]:
    r"""Return the t interval of the mean of independent values, cut at their bounds.

    :math:`\bar v \pm t_{0.975, n - 1}\, s / \sqrt n`, with the sample's standard deviation :math:`s`; unknown for fewer
    than two values.

    Paper: Student (1908), doi:10.2307/2331554.
    Blind to: what all values share, such as their test images; a few trainings of which each is all or nothing.

    >>> [round(end, 3) for end in student([0.2, 0.3, 0.4], (0.0, 1.0))]
    [0.052, 0.548]

    Raises:
        InputError: A value lies outside the bounds.
    """
    if any(not bounds[0] <= value <= bounds[1] for value in values):
        raise InputError(f"values must lie in [{bounds[0]:g}, {bounds[1]:g}], got {min(values):g} to {max(values):g}")
    n = len(values)
    if n < 2:  # noqa: PLR2004 - one value says nothing about its spread
        return UNKNOWN
    middle = math.fsum(values) / n
    spread = math.sqrt(math.fsum((value - middle) ** 2 for value in values) / (n - 1))
    reach = float(student_t.ppf(TAIL, n - 1)) * spread / math.sqrt(n)
    return max(bounds[0], middle - reach), min(bounds[1], middle + reach)


def over_seeds(parts: Sequence[Estimate], bounds: tuple[float, float]) -> Estimate:
    """Return the mean over the seeds with its `student` interval; ``n`` counts the seeds that were measured.

    Seeds that agree to the last digit show no spread, although each was measured on a few images only: the interval is
    then the mean of their own, or, where they have none, that of `aseptic.metrics.intervals.all_equal` over the seeds.

    Args:
        parts: The number of each seed; those that were not measured are left out.
        bounds: Least and largest value that there can be.

    Raises:
        InputError: A value lies outside the bounds.
    """
    known = [part for part in parts if part.known]
    if not known:
        return NOT_MEASURED
    values = [part.value for part in known]
    low, high = student(values, bounds)
    if len(known) > 1 and min(values) == max(values):
        if all(part.bounded for part in known):
            low, high = (math.fsum(ends) / len(known) for ends in zip(*((p.low, p.high) for p in known), strict=True))
        else:
            low, high = all_equal(values[0], len(known), bounds)
    mean = values[0] if min(values) == max(values) else math.fsum(values) / len(known)
    return Estimate(value=mean, low=low, high=high, n=len(known))
