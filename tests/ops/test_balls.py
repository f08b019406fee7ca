"""Laws of the norm balls: nearest point, identity inside, uniform sample, steepest direction, one step."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.ops.balls import DUAL, ORDER, Ball, ascend, nearest_inside, random_start

NORMS = pytest.mark.parametrize("norm", ORDER)
radii = st.floats(1e-3, 30.0)
seeds = st.integers(0, 10_000)
few = settings(max_examples=25, deadline=None)


def draw(seed, *, dtype=torch.float64, shape=(3, 2, 4, 4)):
    return torch.randn(shape, generator=stream(seed), dtype=dtype)


def per_image(values):
    return values.reshape(-1, 1, 1, 1)


@NORMS
@few
@given(seed=seeds, radius=radii)
def test_projection_is_the_nearest_point(norm, seed, radius):
    """For a convex set, p is nearest to d exactly if (d - p).(q - p) <= 0 for every q; the best q is known."""
    ball, delta = Ball(norm, radius), draw(seed)
    near = ball.project(delta)
    assert (ball.size(near) <= radius * (1 + 1e-9)).all()
    rest = (delta - near).flatten(1)
    best = radius * torch.linalg.vector_norm(rest, DUAL[norm], dim=1)
    here = (rest * near.flatten(1)).sum(1)
    torch.testing.assert_close(here, best, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(ball.project(near), near)


@NORMS
@few
@given(seed=seeds, radius=radii)
def test_projection_is_the_identity_inside(norm, seed, radius):
    ball, delta = Ball(norm, radius), draw(seed)
    inside = 0.5 * radius * delta / per_image(ball.size(delta))
    torch.testing.assert_close(ball.project(inside), inside, rtol=0, atol=0)


@NORMS
@few
@given(seed=seeds)
def test_each_image_has_its_own_radius(norm, seed):
    delta = draw(seed, shape=(5, 2, 4, 4))
    radii = torch.tensor([0.1, 0.7, 2.0, 1e-6, math.inf], dtype=delta.dtype)
    near = nearest_inside(norm, delta, radii)
    alone = [Ball(norm, float(radius)).project(one[None]) for one, radius in zip(delta, radii[:4], strict=False)]
    torch.testing.assert_close(near, torch.cat([*alone, delta[4:]]), rtol=0, atol=0)


@NORMS
@few
@given(seed=seeds, radius=radii)
def test_projection_in_single_precision_is_inside(norm, seed, radius):
    ball = Ball(norm, radius)
    near = ball.project(draw(seed, dtype=torch.float32, shape=(2, 1, 40, 40)))
    assert near.dtype == torch.float32
    assert (ball.size(near.double()) <= radius * (1 + 2e-7)).all()


def test_l1_projection_against_typed_in_values():
    delta = torch.tensor([[[3.0, -1.0, 0.5, 0.0]], [[1.0, 1.0, -1.0, 1.0]]])
    expected = torch.tensor([[[2.0, 0.0, 0.0, 0.0]], [[0.5, 0.5, -0.5, 0.5]]])
    torch.testing.assert_close(Ball("l1", 2.0).project(delta), expected)


@NORMS
@few
@given(seed=seeds, radius=radii)
def test_samples_are_inside_and_centred(norm, seed, radius):
    ball, like = Ball(norm, radius), torch.zeros(64, 2, 4, 4)
    drawn = ball.sample(like, stream(seed))
    assert (ball.size(drawn) <= radius * (1 + 1e-6)).all()
    half = drawn[: len(drawn) // 2]
    spread = drawn.flatten().std() / math.sqrt(drawn.numel())
    assert abs(drawn.mean()) < 6 * spread
    assert not torch.equal(half, drawn[len(half) :])


@NORMS
def test_samples_are_uniform(norm):
    """In n dimensions, (size / radius) ** n of a uniform point is uniform on [0, 1]."""
    ball, like = Ball(norm, 0.3), torch.zeros(4000, 1, 2, 3, dtype=torch.float64)
    drawn = ball.sample(like, stream(0))
    ranks = (ball.size(drawn) / 0.3).pow(6).sort().values
    gap = (ranks - torch.linspace(0, 1, len(ranks), dtype=torch.float64)).abs().max()
    assert gap < 1.63 / math.sqrt(len(ranks)), "Kolmogorov-Smirnov at 1 %"
    assert drawn.flatten(1).gt(0).double().mean(0).sub(0.5).abs().max() < 0.04, "every octant alike"


@NORMS
@few
@given(seed=seeds)
def test_steepest_has_norm_one_and_climbs_fastest(norm, seed):
    gradient = draw(seed)
    direction = Ball(norm, 1.0).steepest(gradient)
    torch.testing.assert_close(Ball(norm, 1.0).size(direction), torch.ones(3, dtype=torch.float64))
    gain = (direction * gradient).flatten(1).sum(1)
    torch.testing.assert_close(gain, torch.linalg.vector_norm(gradient.flatten(1), DUAL[norm], dim=1))


def test_an_l1_step_shares_the_largest_hundredth():
    gradient = draw(0, shape=(2, 3, 10, 10))
    direction = Ball("l1", 1.0).steepest(gradient)
    torch.testing.assert_close(Ball("l1", 1.0).size(direction), torch.ones(2, dtype=torch.float64))
    moved = direction.flatten(1) != 0
    assert moved.sum(1).tolist() == [3, 3]
    assert (gradient.flatten(1).abs()[moved].min() > gradient.flatten(1).abs()[~moved].median()).all()


@NORMS
def test_no_gradient_no_direction(norm):
    flat = torch.zeros(2, 1, 3, 3)
    assert torch.equal(Ball(norm, 1.0).steepest(flat), flat)


@NORMS
@pytest.mark.parametrize("shape", [(0, 1, 4, 4), (1, 1, 4, 4), (2, 1, 3, 3, 3)])
def test_radius_zero_and_odd_shapes(norm, shape):
    ball, delta = Ball(norm, 0.0), draw(0, shape=shape)
    zero = torch.zeros_like(delta)
    assert torch.equal(ball.project(delta), zero)
    assert torch.equal(ball.project(zero), zero)
    assert torch.equal(ball.sample(delta, stream(0)), zero)
    assert ball.size(delta).shape == (shape[0],)
    assert ball.steepest(delta).shape == shape


@NORMS
@few
@given(seed=seeds, radius=radii)
def test_a_step_stays_legal_and_moves(norm, seed, radius):
    ball = Ball(norm, radius)
    images = draw(seed).sign().clamp(0, 1)  # every value on a bound
    before = images.clone()
    found = ascend(ball, images, random_start(ball, images, [stream(seed, row) for row in range(3)]), draw(1), 0.5)
    assert torch.equal(images, before)
    assert 0 <= found.min() <= found.max() <= 1
    assert (ball.size(found - images) <= radius * (1 + 1e-9)).all()
    uphill = draw(20_000)  # beyond the seeds: images at the very corner that it points to could not move
    first = ascend(ball, images, images, uphill, 0.5)
    assert (((first - images) * uphill).flatten(1).sum(1) > 0).all()


@NORMS
def test_a_start_does_not_depend_on_the_neighbours(norm):
    ball, images = Ball(norm, 0.1), torch.full((3, 1, 4, 4), 0.5)
    together = random_start(ball, images, [stream(0, row) for row in range(3)])
    alone = random_start(ball, images[1:2], [stream(0, 1)])
    assert torch.equal(together[1:2], alone)
    assert random_start(ball, images[:0], []).shape == (0, 1, 4, 4)


def test_refuses_an_unknown_norm():
    with pytest.raises(InputError, match=r"norm must be one of linf, l2, l1; got 'l3'"):
        Ball("l3", 1.0)


@pytest.mark.parametrize("radius", [-0.1, math.nan, math.inf])
def test_refuses_a_bad_radius(radius):
    with pytest.raises(InputError, match=rf"radius must be a finite number of at least 0, got {radius!r}"):
        Ball("linf", radius)
