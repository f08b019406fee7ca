"""Survival after so many questions: counted by hand, and as a curve."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import resample
from aseptic.metrics.intervals import wilson
from aseptic.metrics.survival import measure_standing, survival

QUERIES = np.array([1, 1, 5, 10, 10, math.inf, math.inf, math.nan])


def draws(n, patients=None):
    return resample(patients, n, draws=200, rng=numpy_stream(0))


@pytest.mark.parametrize(("after", "standing"), [(0, 7), (1, 5), (4, 5), (5, 4), (9, 4), (10, 2), (10**6, 2)])
def test_is_the_share_that_is_counted(after, standing):
    """An image falls with its question, not after it; images that nothing was asked about are not there."""
    found = measure_standing(QUERIES, after, draws(8)).estimate
    assert found.value == pytest.approx(standing / 7)
    assert found.n == 7
    assert found.low <= found.value <= found.high


def test_where_all_stand_the_interval_is_wilsons():
    found = survival(np.full(12, math.inf), [100], draws(12))[100]
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 12))
    one = survival(np.full(12, math.inf), [100], draws(12, ["one"] * 12))[100]
    assert (one.low, one.n) == (pytest.approx(wilson(1.0, 1)[0]), 12), "twelve images of one patient are one patient"


@settings(max_examples=25, deadline=None)
@given(st.lists(st.one_of(st.integers(1, 50), st.just(math.inf), st.just(math.nan)), min_size=3, max_size=30))
def test_a_curve_only_falls_with_its_interval(values):
    queries = np.array(values, dtype=float)
    points = list(survival(queries, range(0, 55, 5), draws(len(queries))).values())
    if np.isnan(queries).all():
        assert points == [NOT_MEASURED] * 11
        return
    assert points[0].value == 1
    for earlier, later in pairwise(points):
        assert later.value <= earlier.value
    assert points[-1].value == pytest.approx(np.isinf(queries).sum() / (~np.isnan(queries)).sum())


@pytest.mark.parametrize(
    ("queries", "after", "message"),
    [
        ([1.0, 0.0], 3, "queries must be 1 or more, inf or NaN, got 0"),
        ([1.0, 2.0], -1, "after must be 0 or more questions, got -1"),
    ],
)
def test_refuses_numbers_that_are_no_questions(queries, after, message):
    with pytest.raises(InputError, match=message):
        measure_standing(np.array(queries), after, draws(2))
