"""The exception tree and the nearest name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.errors import AsepticError, ContractError, InputError, MissingExtraError, RefusedError, nearest


@pytest.mark.parametrize("kind", [InputError, RefusedError, MissingExtraError, ContractError])
def test_everything_raised_on_purpose_has_one_base(kind):
    assert issubclass(kind, AsepticError)


def test_bad_input_is_told_apart_from_a_broken_promise():
    assert issubclass(RefusedError, InputError)
    assert issubclass(MissingExtraError, InputError)
    assert not issubclass(ContractError, InputError)


@given(name=st.text(min_size=1, max_size=12))
def test_a_known_name_is_its_own_nearest(name):
    assert nearest(name, [name, "something else altogether"]) == f", did you mean {name!r}?"


def test_nothing_is_suggested_for_what_resembles_nothing():
    assert not nearest("zzz", ["pgd", "fgsm"])
    assert not nearest("pgd", [])
