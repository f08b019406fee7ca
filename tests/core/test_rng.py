"""Named streams: the same name gives the same numbers, other names others, and nothing global moves."""

import hashlib

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.rng import derive, numpy_stream, stream

seeds = st.integers(-(2**70), 2**70)
names = st.lists(st.one_of(st.text(max_size=8).filter(lambda text: "\x1f" not in text), st.integers()), max_size=4)


@given(seed=seeds, path=names)
def test_a_stream_is_a_function_of_its_name(seed, path):
    assert 0 <= derive(seed, *path) < 2**63
    assert torch.equal(torch.rand(5, generator=stream(seed, *path)), torch.rand(5, generator=stream(seed, *path)))
    np.testing.assert_array_equal(numpy_stream(seed, *path).random(5), numpy_stream(seed, *path).random(5))


@given(seed=st.integers(0, 1000), first=names, second=names)
def test_other_names_give_other_streams(seed, first, second):
    same = [str(part) for part in first] == [str(part) for part in second]
    assert (derive(seed, *first) == derive(seed, *second)) == same
    assert derive(seed, *first) != derive(seed + 1, *first)
    assert derive(seed, "a", "b") != derive(seed, "ab")


def test_the_seed_is_the_same_on_every_machine_and_in_every_release():
    assert derive(0, "attack", 3) == int(hashlib.sha256(b"0\x1fattack\x1f3").hexdigest()[:16], 16) >> 1
    assert derive(0, "attack", 3) == 3343762968889931512


def test_global_random_state_is_left_alone():
    before, ours = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002 - it must not move
    stream(0, "x")
    numpy_stream(0, "x").random(3)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_array_equal(ours, np.random.get_state()[1])  # noqa: NPY002


def test_streams_are_uniform_enough_to_be_unrelated():
    draws = np.array([numpy_stream(0, "patient", number).random() for number in range(2000)])
    assert abs(draws.mean() - 0.5) < 0.03
    assert abs(np.corrcoef(draws[:-1], draws[1:])[0, 1]) < 0.08
