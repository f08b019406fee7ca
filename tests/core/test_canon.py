"""Content hashes: equal configurations have equal keys, others do not."""

import hashlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.canon import CHUNK, canonical, content_key, file_sha256

values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
tables = st.dictionaries(st.text(), values, max_size=5)


@given(table=tables)
def test_the_order_of_the_keys_does_not_matter(table):
    turned = dict(reversed(table.items()))
    assert content_key(turned) == content_key(table)
    assert json.loads(canonical(table)) == table


@given(first=tables, second=tables)
def test_other_values_have_other_keys(first, second):
    assert (content_key(first) == content_key(second)) == (canonical(first) == canonical(second))
    assert content_key({"x": first}) != content_key({"y": first})


def test_the_key_is_the_same_on_every_machine():
    assert content_key({"eps": 0.1, "a": "é"}) == hashlib.sha256('{"a":"é","eps":0.1}'.encode()).hexdigest()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_refuses_numbers_that_json_cannot_say(value):
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        canonical({"eps": value})


@pytest.mark.parametrize("size", [0, 5, CHUNK, CHUNK + 1])
def test_a_file_is_hashed_whole(tmp_path, size):
    content = bytes(range(256)) * (size // 256 + 1)
    (tmp_path / "weights").write_bytes(content[:size])
    assert file_sha256(tmp_path / "weights") == hashlib.sha256(content[:size]).hexdigest()
