"""Closed-form intervals against SciPy, published numbers and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.core.rng import numpy_stream
from aseptic.metrics.decisions import proportion
from aseptic.metrics.intervals import (
    Z,
    all_equal,
    auroc_score_interval,
    percentile,
    square_and_add,
    wilson,
)
from aseptic.metrics.ranking import auroc


@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilson_agrees_with_scipy(n, share):
    successes = round(share * n)
    oracle = binomtest(successes, n).proportion_ci(method="wilson")
    found = proportion(successes, n)
    np.testing.assert_allclose([found.low, found.high], [oracle.low, oracle.high], atol=1e-12)
    assert 0 <= found.low <= found.value <= found.high <= 1
    assert found.n == n


def test_a_proportion_of_nothing_is_not_measured():
    assert proportion(0, 0) is NOT_MEASURED


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0])
def test_all_equal_is_wilson_at_the_ends(value):
    low, high = all_equal(value, 12, (0.0, 1.0))
    assert low <= value <= high
    if value != 0.5:
        np.testing.assert_allclose((low, high), wilson(value, 12), atol=1e-12)


@given(value=st.floats(0, 1), m=st.integers(1, 300), n=st.integers(1, 300))
def test_the_ends_of_the_auroc_interval_solve_its_equation(value, m, n):
    def variance(theta):
        star = (m + n) / 2 - 1
        return theta * (1 - theta) / (m * n) * (1 + star * (1 - theta) / (2 - theta) + star * theta / (1 + theta))

    low, high = auroc_score_interval(value, m, n)
    assert 0 <= low <= value + 1e-12
    assert value - 1e-12 <= high <= 1
    for end, corner in ((low, 0.0), (high, 1.0)):
        if end != corner:
            assert (value - end) ** 2 == pytest.approx(Z**2 * variance(end), abs=1e-9)


@given(value=st.floats(0, 1), m=st.integers(1, 50), n=st.integers(1, 50))
def test_the_auroc_interval_is_mirrored_with_the_classes(value, m, n):
    low, high = auroc_score_interval(value, m, n)
    np.testing.assert_allclose(auroc_score_interval(1 - value, n, m), [1 - high, 1 - low], atol=1e-6)


def test_perfect_separation_still_has_a_width_that_shrinks_with_the_cases():
    lows = [auroc_score_interval(1.0, cases, cases)[0] for cases in (3, 10, 100)]
    assert lows == sorted(lows)
    assert 0.3 < lows[0] < 0.8
    assert 0.95 < lows[2] < 1


def test_the_auroc_interval_covers_the_truth():
    hits, truth = 0, 0.9213503964748574  # two normals two standard deviations apart: Phi(2 / sqrt 2)
    for seed in range(300):
        rng = numpy_stream(seed, "auroc")
        labels = np.repeat([0.0, 1.0], 25)
        low, high = auroc_score_interval(auroc(rng.normal(size=50) + 2 * labels, labels), 25, 25)
        hits += low <= truth <= high
    assert 0.92 <= hits / 300 <= 0.99


def test_square_and_add_by_hand():
    parts = [Estimate(value=0.8, low=0.7, high=0.85, n=10), Estimate(value=0.5, low=0.46, high=0.62, n=10)]
    low, high = square_and_add(parts, [1.0, -1.0])
    assert low == pytest.approx(0.3 - np.hypot(0.1, 0.12))
    assert high == pytest.approx(0.3 + np.hypot(0.05, 0.04))
    unknown = Estimate(value=0.5, low=np.nan, high=np.nan, n=1)
    assert np.isnan(square_and_add([parts[0], unknown], [1.0, 1.0])).all()


def test_percentile_leaves_out_undefined_draws_unless_they_are_many():
    draws = np.arange(1000.0)
    assert percentile(draws) == pytest.approx((24.975, 974.025))
    draws[:50] = np.nan
    assert percentile(draws) == pytest.approx((50 + 949 * 0.025, 50 + 949 * 0.975))
    draws[:101] = np.nan
    assert np.isnan(percentile(draws)).all()
    assert np.isnan(percentile(np.zeros(0))).all()


def test_refuses_impossible_counts():
    with pytest.raises(InputError, match=r"successes must lie in 0\.\.3, got 4"):
        proportion(4, 3)
    with pytest.raises(InputError, match=r"a share needs a value in \[0, 1\] of 1 or more, got 0.5 of 0"):
        wilson(0.5, 0)
    with pytest.raises(InputError, match=r"an AUROC needs a value in \[0, 1\] and both classes, got 1.0, 3 and 0"):
        auroc_score_interval(1.0, 3, 0)
