"""Rounding to grey levels: nearest, idempotent, and refused where it makes no sense."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import pictures

from aseptic.core.errors import InputError
from aseptic.ops.quantise import quantise


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), steps=st.sampled_from([1, 2, 255, 4095, 350.5]))
def test_is_the_nearest_level_and_idempotent(seed, steps):
    images = pictures((2, 1, 6, 6), seed)
    found = quantise(images, steps)
    assert (found - images).abs().max() <= 0.5 / steps + 1e-7
    torch.testing.assert_close(quantise(found, steps), found, rtol=0, atol=1e-7)
    levels = found * steps
    edge = found == 1  # a window need not end on a level
    assert ((levels - levels.round()).abs() < 1e-3)[~edge].all()


def test_agrees_with_eight_bit_storage():
    images = pictures((1, 3, 16, 16))
    stored = np.rint(images.numpy() * 255).astype(np.uint8)
    torch.testing.assert_close(quantise(images, 255), torch.from_numpy(stored) / 255)


@pytest.mark.parametrize("steps", [0, -1, math.nan, math.inf])
def test_refuses_other_steps(steps):
    with pytest.raises(InputError, match=f"steps must be a positive number, got {steps!r}"):
        quantise(pictures((1, 1, 2, 2)), steps)
