"""The cache never holds more than its limit, and forgets the oldest first."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from aseptic.data.cache import Cache

puts = st.lists(st.tuples(st.integers(0, 5), st.integers(1, 60)), max_size=40)


@given(puts=puts, limit=st.integers(0, 400))
def test_bytes_are_counted_and_bounded(puts, limit):
    cache = Cache(limit)
    for key, length in puts:
        cache.put(key, torch.zeros(length, dtype=torch.uint8))
    kept = {key: found for key in range(6) if (found := cache.get(key)) is not None}
    assert cache.held == sum(one.nbytes for one in kept.values()) <= limit


def test_the_least_recently_used_goes_first():
    cache = Cache(2)
    one = torch.zeros(1, dtype=torch.uint8)
    cache.put("a", one)
    cache.put("b", one)
    assert cache.get("a") is one
    cache.put("c", one)
    assert [key for key in "abc" if cache.get(key) is not None] == ["a", "c"]
