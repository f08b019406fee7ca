"""Control noise keeps every value of the perturbation and forgets where it was."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.rng import stream
from aseptic.ops.noise import shuffle_within


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), shape=st.sampled_from([(3, 2, 5, 5), (2, 1, 3, 4, 5), (0, 1, 4, 4)]))
def test_keeps_the_sorted_values_of_each_image(seed, shape):
    noise = torch.randn(shape, generator=stream(seed))
    found = shuffle_within(noise, [stream(seed, row) for row in range(len(noise))])
    assert torch.equal(found.flatten(1).sort(1).values, noise.flatten(1).sort(1).values)


def test_moves_values_across_channels_and_positions():
    noise = torch.zeros(1, 2, 30, 30)
    noise[:, 0] = 1
    found = shuffle_within(noise, [stream(0)])
    assert 0.4 < found[0, 0].mean() < 0.6
    assert 0.4 < found[0, :, :15].mean() < 0.6
    assert torch.equal(found, shuffle_within(noise, [stream(0)])), "same stream, same noise"


def test_values_stay_where_they_may_be():
    noise, where = torch.randn((3, 2, 6, 7), generator=stream(0)), torch.zeros(3, 6, 7, dtype=torch.bool)
    where[:, 1:4, 2:5] = True
    found = shuffle_within(noise, [stream(1, row) for row in range(3)], where)
    outside = ~where[:, None].expand_as(noise)
    assert torch.equal(found[outside], noise[outside])
    assert torch.equal(found.flatten(1).sort(1).values, noise.flatten(1).sort(1).values)
    assert not torch.equal(found, noise)


def test_wants_one_stream_for_each_image():
    with pytest.raises(ValueError, match="shorter"):
        shuffle_within(torch.zeros(2, 1, 2, 2), [stream(0)])
