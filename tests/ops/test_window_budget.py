"""The window as a budget: its laws, against all boxes one by one."""

import itertools
import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.ops.balls import Ball, Budget
from aseptic.ops.budgets import make_budget
from aseptic.ops.windows import Window, best_corners, window_sums

few = settings(max_examples=25, deadline=None)
shares = st.floats(0.02, 1.0)
SHAPES = pytest.mark.parametrize("shape", [(3, 2, 7, 5), (2, 1, 4, 6, 5)], ids=["2-D", "3-D"])


def boxes(window, shape):
    """Return every box of the largest size, as a mask."""
    sides = window.sides(shape[2:])
    for corner in itertools.product(*(range(n - side + 1) for n, side in zip(shape[2:], sides, strict=True))):
        mask = torch.zeros(shape[2:])
        mask[tuple(slice(c, c + side) for c, side in zip(corner, sides, strict=True))] = 1
        yield mask


def draw(shape, seed):
    return torch.randn(shape, generator=stream(seed), dtype=torch.float64)


@SHAPES
@few
@given(seed=st.integers(0, 1000), share=shares)
def test_projection_keeps_the_box_that_holds_most(shape, seed, share):
    window, delta = Window(share), draw(shape, seed)
    near = window.project(delta)
    assert (window.size(near) <= share * (1 + 1e-12)).all()
    distance = (delta - near).flatten(1).norm(dim=1)
    for mask in boxes(window, shape):
        assert (distance <= (delta - delta * mask).flatten(1).norm(dim=1) + 1e-12).all()
    assert torch.equal(window.project(near), near)


def test_the_box_is_the_smallest_that_holds_all():
    delta = torch.zeros(3, 2, 5, 6, 4)
    delta[0, 1, 2, 3, 1], delta[0, 0, 4, 3, 2] = 1, -1
    delta[1, 0, 0, 0, 0] = 1e-9
    found = Window(0.5).box(delta)
    wanted = torch.zeros(3, 5, 6, 4, dtype=torch.bool)
    wanted[0, 2:5, 3, 1:3] = True
    wanted[1, 0, 0, 0] = True
    assert torch.equal(found, wanted)


@SHAPES
@few
@given(seed=st.integers(0, 1000), share=shares)
def test_steepest_is_the_best_a_box_can_do(shape, seed, share):
    """A linear function gains the sum of its absolute weights in the box, if every value moves by 1."""
    window, gradient = Window(share), draw(shape, seed)
    gained = (window.steepest(gradient) * gradient).flatten(1).sum(1)
    best = torch.stack([(gradient.abs() * mask).flatten(1).sum(1) for mask in boxes(window, shape)]).amax(0)
    torch.testing.assert_close(gained, best)
    assert (window.size(window.steepest(gradient)) <= share * (1 + 1e-12)).all()


@SHAPES
@few
@given(seed=st.integers(0, 1000), share=shares)
def test_samples_lie_inside(shape, seed, share):
    window, like = Window(share), torch.zeros(shape)
    drawn = window.sample(like, stream(seed))
    assert (window.size(drawn) <= share * (1 + 1e-6)).all()
    assert drawn.abs().max() <= 1
    if 0 not in window.sides(shape[2:]):
        torch.testing.assert_close(window.project(drawn), drawn, rtol=0, atol=0)


def test_samples_lie_in_every_place():
    drawn = Window(0.2).sample(torch.zeros(400, 1, 4, 6, 5), stream(0))
    assert (drawn != 0).any(0).all()
    assert drawn.min() < -0.99
    assert drawn.max() > 0.99


def test_the_size_is_that_of_the_smallest_box():
    delta = torch.zeros(5, 2, 10, 20)
    delta[1, 1, 3, 7] = 1e-30
    delta[2, 0, 2, 4] = delta[2, 1, 5, 5] = -1
    delta[3, :, :, 9:11] = 1
    delta[4, 0, 0, 0] = delta[4, 0, 0, 19] = 1
    assert Window(1).size(delta).tolist() == pytest.approx([0, 0.01, 0.16, 1, 1])


@few
@given(length=st.integers(1, 40), side=st.integers(0, 40), axes=st.integers(2, 3))
def test_a_box_that_covers_exactly_the_share_fits(length, side, axes):
    side = min(side, length)
    window, space = Window((side / length) ** axes), (length,) * axes
    assert window.sides(space) == (side,) * axes
    full = torch.zeros(1, 1, *space)
    full[(..., *(slice(side),) * axes)] = 1
    assert window.size(full) <= window.radius * (1 + 1e-6)
    assert window.rounding(full).tolist() == [0]


def test_nothing_fits_into_less_than_a_value():
    window, like = Window(0.001), torch.ones(2, 1, 9, 9)
    for found in (window.project(like), window.sample(like, stream(0)), window.steepest(like)):
        assert torch.equal(found, torch.zeros_like(like))
    assert torch.equal(Window(1).project(like), like)


def test_sums_are_those_of_slices():
    weights = draw((2, 3, 6, 5), 0)
    sums = window_sums(weights, (2, 3))
    assert sums.shape == (2, 5, 3)
    torch.testing.assert_close(sums[1, 4, 2], weights[1, :, 4:6, 2:5].sum())
    corner = best_corners(weights, (2, 3))[0].tolist()
    assert sums[0, corner[0], corner[1]] == sums[0].max()


def test_budgets_by_name():
    assert make_budget("window", 0.1) == Window(0.1)
    assert make_budget("l2", 3) == Ball("l2", 3)
    with pytest.raises(InputError, match=r"norm must be one of linf, l2, l1, window; got 'l3'"):
        make_budget("l3", 1)


def test_both_kinds_are_budgets():
    assert isinstance(Ball("l2", 1.0), Budget)
    assert isinstance(Window(0.1), Budget)
    assert Window(0.1).norm == "window"


@pytest.mark.parametrize("share", [-0.1, 1.1, math.nan])
def test_refuses_what_is_no_share(share):
    with pytest.raises(InputError, match=r"the share of a window must lie in \[0, 1\], got"):
        Window(share)
