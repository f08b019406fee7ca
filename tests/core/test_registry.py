"""Registries import on first use, and say what they know."""

import sys

import pytest

from aseptic.core.errors import InputError
from aseptic.core.registry import Registry

TABLE = {"pgd": "fractions:Fraction", "fgsm": "colorsys:rgb_to_hsv", "gone": "no_such_module:Thing"}


def test_names_are_sorted_and_cost_no_import():
    sys.modules.pop("colorsys", None)
    assert Registry("attack", TABLE).names() == ("fgsm", "gone", "pgd")
    assert "colorsys" not in sys.modules
    assert Registry("attack", TABLE).load("fgsm") is sys.modules["colorsys"].rgb_to_hsv


def test_refuses_an_unknown_name_with_the_allowed_ones_and_the_nearest():
    with pytest.raises(InputError, match="attack must be one of fgsm, gone, pgd; got 'pdg', did you mean 'pgd'"):
        Registry("attack", TABLE).load("pdg")
    with pytest.raises(InputError, match=r"got 'zzzz'$"):
        Registry("attack", TABLE).load("zzzz")


def test_a_missing_module_is_not_mistaken_for_a_missing_name():
    with pytest.raises(ModuleNotFoundError, match="no_such_module"):
        Registry("attack", TABLE).load("gone")
