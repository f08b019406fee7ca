"""How many images still stand after so many questions."""

from collections.abc import Sequence

import numpy as np

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.metrics.bootstrap import SHARE, Column, Measured, Resample, mean


def measure_standing(queries: Column, after: int, sample: Resample) -> Measured:
    """Measure the share of the images whose goal was not reached by the first ``after`` questions.

    Args:
        queries: Questions until the goal was first reached, as ``run`` of the attacks reports them; inf where
            it never was, NaN where nothing was asked (images that are not eligible), which are left out.
        after: Number of questions; what an attack would do with more than it had is not known, and not guessed.
        sample: Draws of patients.

    Raises:
        InputError: A number of questions is below 1, or ``after`` is below 0.
    """
    if after < 0:
        raise InputError(f"after must be 0 or more questions, got {after}")
    if (queries < 1).any():
        raise InputError(f"queries must be 1 or more, inf or NaN, got {np.nanmin(queries):g}")
    return mean(np.where(np.isnan(queries), np.nan, (queries > after).astype(float)), sample, SHARE)


def survival(queries: Column, after: Sequence[int], sample: Resample) -> dict[int, Estimate]:
    """Return `measure_standing` for each number of questions; all points share their draws, so the curve only falls."""
    return {number: measure_standing(queries, number, sample).estimate for number in after}
