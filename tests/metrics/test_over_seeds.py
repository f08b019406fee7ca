"""Numbers over seeds: the t interval beside scipy's, and what is said where all seeds agree."""

import math

import numpy as np
import pytest
from scipy import stats

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.metrics.intervals import wilson
from aseptic.metrics.seeds import over_seeds, student


def exact(value):
    return Estimate(value=value, low=math.nan, high=math.nan, n=1)


@pytest.mark.parametrize("values", [[0.4, 0.5, 0.55], [0.31, 0.3], list(np.linspace(0.4, 0.6, 7))])
def test_the_t_interval_is_that_of_scipy(values):
    wanted = stats.t.interval(0.95, len(values) - 1, loc=np.mean(values), scale=stats.sem(values))
    assert student(values, (-9.0, 9.0)) == pytest.approx(wanted)
    found = over_seeds([exact(value) for value in values], (-9.0, 9.0))
    assert (found.low, found.high) == pytest.approx(wanted)
    assert (found.value, found.n) == (pytest.approx(np.mean(values)), len(values))


def test_the_t_interval_is_cut_at_the_bounds():
    assert student([0.1, 0.9, 0.95], (0.0, 1.0)) == (0, 1)
    low, high = student([0.9, 0.95, 1.0], (0.0, 1.0))
    assert low == pytest.approx(stats.t.interval(0.95, 2, loc=0.95, scale=stats.sem([0.9, 0.95, 1.0]))[0])
    assert high == 1


def test_one_seed_says_nothing_about_others():
    one = Estimate(value=0.8, low=0.7, high=0.9, n=40)
    found = over_seeds([one, NOT_MEASURED], (0.0, 1.0))
    assert (found.value, found.n, found.bounded) == (0.8, 1, False)
    assert over_seeds([NOT_MEASURED], (0.0, 1.0)) == NOT_MEASURED == over_seeds([], (0.0, 1.0))


def test_seeds_that_agree_have_the_interval_of_their_images():
    parts = [Estimate(value=1.0, low=low, high=1.0, n=40) for low in (0.9, 0.8, 0.85)]
    found = over_seeds(parts, (0.0, 1.0))
    assert (found.low, found.high) == (pytest.approx(0.85), 1)
    bare = over_seeds([exact(1.0)] * 3, (0.0, 1.0))
    assert (bare.low, bare.high) == pytest.approx(wilson(1.0, 3))
    thirds = over_seeds([exact(1 / 3)] * 3, (0.0, 1.0))
    assert thirds.value == 1 / 3


def test_the_interval_holds_what_it_promises():
    rng = np.random.default_rng(0)
    drawn = np.clip(rng.normal(0.5, 0.05, (4000, 3)), 0, 1)
    ends = [student(row.tolist(), (0.0, 1.0)) for row in drawn]
    assert np.mean([low <= 0.5 <= high for low, high in ends]) == pytest.approx(0.95, abs=0.012)


def test_a_value_out_of_its_bounds_is_refused():
    with pytest.raises(InputError, match=r"values must lie in \[0, 1\], got 0.2 to 1.2"):
        student([0.2, 1.2], (0.0, 1.0))
    with pytest.raises(InputError, match=r"values must lie in \[-1, 1\], got -2 to -2"):
        over_seeds([exact(-2.0)], (-1.0, 1.0))
