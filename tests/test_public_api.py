"""The public names are those in the checked file: removing or adding one shows in a review."""

from pathlib import Path

import pytest

import aseptic

LISTED = Path(__file__).with_name("public_api.txt")


def test_public_names_are_the_listed_ones():
    assert sorted(aseptic.__all__) == LISTED.read_text(encoding="utf-8").split()


@pytest.mark.parametrize("name", sorted(aseptic.__all__))
def test_every_public_name_can_be_used(name):
    assert getattr(aseptic, name).__doc__ or name == "__version__"


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'aseptic' has no attribute 'Treat'"):
        _ = aseptic.Treat
