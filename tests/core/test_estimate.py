"""An estimate is a value, a whole interval or none, and a count."""

import dataclasses
import math

import pytest

from aseptic.core.errors import ContractError
from aseptic.core.estimate import NOT_MEASURED, Estimate


def test_what_is_not_measured_is_nan_and_never_zero():
    assert math.isnan(NOT_MEASURED.value)
    assert (NOT_MEASURED.known, NOT_MEASURED.bounded, NOT_MEASURED.n) == (False, False, 0)


def test_a_value_may_come_without_an_interval():
    single = Estimate(value=0.5, low=math.nan, high=math.nan, n=1)
    assert (single.known, single.bounded) == (True, False)
    assert Estimate(value=0.0, low=0.0, high=0.0, n=3).bounded


def test_it_cannot_be_changed_afterwards():
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'value'"):
        NOT_MEASURED.value = 0.0


@pytest.mark.parametrize(("low", "high"), [(0.6, 0.4), (math.nan, 0.4), (0.4, math.nan)])
def test_refuses_half_an_interval_and_one_upside_down(low, high):
    with pytest.raises(ContractError, match=r"an interval needs two ends, the lower first, got \["):
        Estimate(value=0.5, low=low, high=high, n=1)


def test_refuses_a_negative_count():
    with pytest.raises(ContractError, match="an estimate needs a count of 0 or more, got -1"):
        Estimate(value=0.5, low=0.4, high=0.6, n=-1)
