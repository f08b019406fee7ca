"""``--size``: one number, or one for each axis."""

import pytest

from aseptic.cli.options import space
from aseptic.core.errors import InputError


@pytest.mark.parametrize(("text", "size"), [("96", 96), ("40x56x40", (40, 56, 40)), ("64X32", (64, 32)), (None, None)])
def test_sizes(text, size):
    assert space(text) == size


@pytest.mark.parametrize("text", ["", "x", "12x", "1x2x3x4", "-8", "8.5", "large", "4"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(InputError, match=r"size must be a whole number of at least 8, or 2 or 3 such as 40x56x40; got"):
        space(text, 8)
