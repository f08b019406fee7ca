"""Nearest points inside [0, 1], against general-purpose optimisers on small problems."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog, minimize

from aseptic.core.rng import stream
from aseptic.ops.balls import ORDER, Ball
from aseptic.ops.box import onto_l1_in_box, to_plane_in_box

NORMS = pytest.mark.parametrize("norm", sorted(ORDER))
SEEDS = st.integers(0, 10_000)


def draw(seed, count=1, values=5):
    """Return images of which some values lie on the bounds, and normals of which some are zero."""
    rng = stream(seed, "box")
    images = (torch.rand((count, 1, values), generator=rng, dtype=torch.float64) * 1.6 - 0.3).clamp(0, 1)
    normal = torch.randn((count, 1, values), generator=rng, dtype=torch.float64)
    return images, normal * (torch.rand(normal.shape, generator=rng) > 0.2), rng


def smallest(image, weight, value, norm):
    """Return the smallest norm of a change to the plane inside [0, 1] by linear or quadratic programming, or None."""
    d = len(image)
    if norm == "l2":
        plane = {"type": "eq", "fun": lambda z: weight @ z + value, "jac": lambda _: weight}
        bounds = list(zip(-image, 1 - image, strict=True))
        found = minimize(
            lambda z: z @ z, np.zeros(d), jac=lambda z: 2 * z, bounds=bounds, constraints=[plane],
            method="SLSQP", options={"ftol": 1e-14, "maxiter": 500},
        )  # fmt: skip
        return float(np.linalg.norm(found.x)) if found.success else None
    sizes = 1 if norm == "linf" else d  # |z_i| <= t, or |z_i| <= t_i
    spread = np.ones((d, 1)) if norm == "linf" else np.eye(d)
    below = np.block([[np.eye(d), -spread], [-np.eye(d), -spread]])
    bounds = [*zip(-image, 1 - image, strict=True), *[(0, None)] * sizes]
    cost = np.concatenate([np.zeros(d), np.ones(sizes)])
    equal = np.concatenate([weight, np.zeros(sizes)])[None]
    found = linprog(cost, A_ub=below, b_ub=np.zeros(2 * d), A_eq=equal, b_eq=[-value], bounds=bounds)
    return float(found.fun) if found.status == 0 else None


@NORMS
@given(seed=SEEDS, share=st.floats(-0.99, 0.99))
@settings(max_examples=20, deadline=None)
def test_the_way_to_a_plane_is_the_shortest(norm, seed, share):
    image, normal, _ = draw(seed)
    assume(normal.any())
    span = (normal.clamp(min=0) * (1 - image) - normal.clamp(max=0) * image).sum()
    value = (-share * span if share > 0 else -share * (normal.abs().sum() - span)).reshape(1)
    delta = to_plane_in_box(image, normal, value, norm)
    assert ((image + delta >= -1e-12) & (image + delta <= 1 + 1e-12)).all()
    torch.testing.assert_close((normal * delta).flatten(1).sum(1), -value, rtol=1e-9, atol=1e-9)
    best = smallest(image.flatten().numpy(), normal.flatten().numpy(), float(value), norm)
    assert best is not None, "the plane meets the box"
    assert float(Ball(norm, 1).size(delta)) == pytest.approx(best, abs=1e-6)


@NORMS
@given(seed=SEEDS)
@settings(max_examples=10, deadline=None)
def test_a_plane_outside_the_box_sends_everything_to_its_bound(norm, seed):
    image, normal, _ = draw(seed, count=3)
    value = -2 * normal.abs().sum((1, 2)) - 1
    corner = torch.where(normal > 0, 1.0, torch.where(normal < 0, 0.0, image))
    torch.testing.assert_close(image + to_plane_in_box(image, normal, value, norm), corner)


@NORMS
def test_a_flat_function_and_an_image_on_the_plane_do_not_move(norm):
    image, normal, _ = draw(1, count=2)
    for weight, value in ((normal * 0, torch.ones(2)), (normal, torch.zeros(2))):
        assert not to_plane_in_box(image, weight, value.double(), norm).any()


def test_float32_and_volumes_give_the_same():
    rng = stream(0)
    image, normal = (torch.rand((3, 2, 4, 5, 6), generator=rng) - shift for shift in (0, 0.5))
    for norm in ORDER:
        delta = to_plane_in_box(image, normal, torch.full((3,), 2.5), norm)
        assert delta.shape == image.shape
        assert delta.dtype == torch.float32
        torch.testing.assert_close((delta * normal).flatten(1).sum(1), torch.full((3,), -2.5))


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("share", [1e-4, 0.3, 0.9, 0.999])
def test_many_values_meet_their_bounds_one_after_the_other(norm, share):
    """The level is the one that sorting finds, also where nearly every value lies on its bound already."""
    rng = stream(3)
    image, normal = (torch.rand((4, 1, 3000), generator=rng, dtype=torch.float64) - shift for shift in (0, 0.5))
    normal *= torch.rand(normal.shape, generator=rng, dtype=torch.float64) ** 8
    room = torch.where(normal > 0, image, 1 - image)
    value = share * (normal.abs() * room).sum((1, 2))
    delta = to_plane_in_box(image, normal, value, norm)
    torch.testing.assert_close((normal * delta).sum((1, 2)), -value, rtol=1e-9, atol=0)
    free = delta.abs() < room * (1 - 1e-12)
    level = delta.abs() / (1 if norm == "linf" else normal.abs())
    for own, moving in zip(level, free, strict=True):
        torch.testing.assert_close(own[moving], own[moving][:1].expand(int(moving.sum())), rtol=1e-9, atol=0)
        assert (own[~moving] <= own[moving].max() * (1 + 1e-9)).all()


@NORMS
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_the_scale_of_the_function_does_not_matter(norm, scale):
    """A gradient so small that its square is 0 leads to the same place."""
    rng = stream(4)
    image, normal = (torch.rand((3, 1, 50), generator=rng) - shift for shift in (0, 0.5))
    value = 0.4 * normal.abs().sum((1, 2)) / 4
    here, there = (to_plane_in_box(image, normal * by, value * by, norm) for by in (1.0, scale))
    torch.testing.assert_close(here, there, rtol=1e-5, atol=1e-7)


@given(seed=SEEDS, radius=st.floats(1e-3, 2.0))
@settings(max_examples=20, deadline=None)
def test_l1_projection_in_the_box_is_the_nearest_point(seed, radius):
    image, delta, rng = draw(seed)
    near = onto_l1_in_box(image, delta, radius)
    assert float(near.abs().sum()) <= radius * (1 + 1e-12)
    assert ((image + near >= -1e-12) & (image + near <= 1 + 1e-12)).all()
    torch.testing.assert_close(onto_l1_in_box(image, near, radius), near)
    # nearest point of a convex set: no allowed point lies on the far side of the plane through it
    other = torch.rand((200, *image.shape[1:]), generator=rng, dtype=torch.float64).expand(200, -1, -1) - image
    other = other * (radius / other.abs().sum((1, 2), keepdim=True)).clamp(max=1)
    corners = torch.cat([torch.diag(s * torch.ones(5, dtype=torch.float64)) for s in (-radius, radius)])[:, None]
    corners = (image + corners).clamp(0, 1) - image
    for allowed in (other, corners):
        assert (((allowed - near) * (delta - near)).sum((1, 2)) <= 1e-9).all()


def test_l1_projection_does_nothing_inside_and_needs_no_room():
    image = torch.tensor([[[0.5, 1.0, 0.0]]])
    inside = torch.tensor([[[0.1, -0.2, 0.1]]])
    assert torch.equal(onto_l1_in_box(image, inside, 0.5), inside)
    blocked = torch.tensor([[[0.9, 5.0, -5.0]]])  # values on their bounds take nothing of the radius
    torch.testing.assert_close(onto_l1_in_box(image, blocked, 0.4), torch.tensor([[[0.4, 0.0, 0.0]]]))
    assert not onto_l1_in_box(image, inside, 0).any()
