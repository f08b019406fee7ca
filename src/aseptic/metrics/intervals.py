"""Intervals in closed form, for the places where resampling has nothing to say."""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.optimize import brentq

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate

Z = 1.959963984540054
"""Two-sided 95 % point of the normal distribution."""
MISSING = 0.1
"""Share of draws that may be undefined before an interval is called unknown."""
UNKNOWN = (math.nan, math.nan)
"""No interval."""

Draws = Float[np.ndarray, " draw"]
"""One statistic on every resample; NaN where the resample leaves it undefined."""


def percentile(draws: Draws) -> tuple[float, float]:
    """Return the 2.5th and the 97.5th percentile of the draws: the percentile bootstrap interval.

    Unknown where more than `MISSING` of the draws are undefined: a finding that two patients have is absent from
    every seventh draw, and the others say little about it.
    """
    defined = draws[~np.isnan(draws)]
    if len(defined) == 0 or len(defined) < (1 - MISSING) * len(draws):
        return UNKNOWN
    low, high = np.percentile(defined, (2.5, 97.5))
    return float(low), float(high)


def wilson(share: float, n: int) -> tuple[float, float]:
    r"""Return the score interval of a share ``p`` of ``n``.

    :math:`\bigl(p + z^2/2n \pm z \sqrt{p(1-p)/n + z^2/4n^2}\bigr) / (1 + z^2/n)`

    Paper: Wilson (1927), doi:10.1080/01621459.1927.10502953.

    >>> [round(end, 4) for end in wilson(1.0, 10)]
    [0.7225, 1.0]

    Raises:
        InputError: The share is not in [0, 1], or ``n`` is not positive.
    """
    if not 0 <= share <= 1 or n < 1:
        raise InputError(f"a share needs a value in [0, 1] of 1 or more, got {share} of {n}")
    centre = share + Z**2 / (2 * n)
    reach = Z * math.sqrt(share * (1 - share) / n + Z**2 / (4 * n**2))
    scale = 1 + Z**2 / n
    low = 0.0 if share == 0 else (centre - reach) / scale
    high = 1.0 if share == 1 else (centre + reach) / scale
    return low, high


def all_equal(value: float, n: int, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return where a mean lies when ``n`` observations, each within ``bounds``, are all ``value``.

    At most a share ``u`` behaves otherwise, the upper Wilson limit of 0 in ``n``; the mean therefore lies between
    ``value - u (value - lower)`` and ``value + u (upper - value)``. For shares it is the Wilson interval itself.

    >>> all_equal(1.0, 10, (0.0, 1.0)) == wilson(1.0, 10)
    True
    """
    share = 1 - wilson(1.0, n)[0]
    return value - share * (value - bounds[0]), value + share * (bounds[1] - value)


def auroc_score_interval(value: float, positives: int, negatives: int) -> tuple[float, float]:
    r"""Return the :math:`\theta` with :math:`(\hat\theta - \theta)^2 \le z^2 V(\theta)`.

    :math:`V(\theta) = \frac{\theta(1-\theta)}{mn}\bigl(1 + N^*\frac{1-\theta}{2-\theta} +
    N^*\frac{\theta}{1+\theta}\bigr)` for ``m`` positives and ``n`` negatives, :math:`N^* = (m+n)/2 - 1`. Unlike
    the bootstrap it has a width where the classes are perfectly separated.

    Paper: Newcombe (2006), method 5, doi:10.1002/sim.2324.

    Raises:
        InputError: The value is not in [0, 1], or a class is empty.
    """
    if not 0 <= value <= 1 or min(positives, negatives) < 1:
        raise InputError(
            f"an AUROC needs a value in [0, 1] and both classes, got {value}, {positives} and {negatives} cases"
        )
    star = (positives + negatives) / 2 - 1

    def excess(theta: float) -> float:
        spread = theta * (1 - theta) / (positives * negatives)
        spread *= 1 + star * ((1 - theta) / (2 - theta) + theta / (1 + theta))
        return (value - theta) ** 2 - Z**2 * spread

    # At 0 and 1 the variance vanishes, which is a root of its own: the bracket stays just inside.
    low = 0.0 if value == 0 else float(brentq(excess, 0.0, min(value, 1 - 1e-12)))
    high = 1.0 if value == 1 else float(brentq(excess, max(value, 1e-12), 1.0))
    return low, high


def square_and_add(parts: Sequence[Estimate], factors: Sequence[float]) -> tuple[float, float]:
    r"""Return the interval of :math:`\sum_k c_k \theta_k` from the intervals of its independent parts.

    :math:`\text{value} - \sqrt{\sum_k (c_k\theta_k - \min(c_k l_k, c_k u_k))^2}`, and likewise above.

    Paper: Zou and Donner (2008), doi:10.1002/sim.3095.
    Blind to: the correlation of paired parts, which makes the true interval of a difference narrower.
    """
    value = sum(factor * part.value for part, factor in zip(parts, factors, strict=True))
    if any(not part.bounded for part in parts):
        return UNKNOWN
    down = up = 0.0
    for part, factor in zip(parts, factors, strict=True):
        ends = sorted((factor * part.low, factor * part.high))
        down += (factor * part.value - ends[0]) ** 2
        up += (factor * part.value - ends[1]) ** 2
    return value - math.sqrt(down), value + math.sqrt(up)
