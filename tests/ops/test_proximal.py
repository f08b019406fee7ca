"""The proximal point of the linf norm against a search over all sizes."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from aseptic.core.rng import stream
from aseptic.ops.proximal import shrink_linf


def draw(seed, shape=(3, 1, 2, 3)):
    images, metric = (torch.rand(shape, generator=stream(seed, name), dtype=torch.float64) for name in ("x", "h"))
    images[0] = images[0].round()
    return 0.6 * torch.randn(shape, generator=stream(seed, "d"), dtype=torch.float64), images, metric + 0.01


def cost(point, delta, metric, weight):
    move = (metric * (point - delta) ** 2).flatten(1).sum(1) / 2
    return weight * point.flatten(1).abs().amax(1) + move


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10_000), heavy=st.floats(1e-3, 3.0))
def test_no_other_size_is_cheaper(seed, heavy):
    """For a given size the best point is a clip: so it is enough to try the sizes."""
    delta, images, metric = draw(seed)
    weight = torch.full((3,), heavy, dtype=torch.float64)
    found = shrink_linf(delta, images, metric, weight)
    assert ((images + found >= -1e-12) & (images + found <= 1 + 1e-12)).all()
    own = cost(found, delta, metric, weight)
    for size in torch.linspace(0, 1, 401, dtype=torch.float64):
        other = delta.clamp(-size, size).clamp(-images, 1 - images)
        assert (own <= cost(other, delta, metric, weight) + 1e-9).all()


def test_without_weight_it_only_stays_inside_and_with_much_nothing_is_left():
    delta, images, metric = draw(1)
    nothing, much = torch.zeros(3, dtype=torch.float64), torch.full((3,), 1e3, dtype=torch.float64)
    torch.testing.assert_close(shrink_linf(delta, images, metric, nothing), delta.clamp(-images, 1 - images))
    assert not shrink_linf(delta, images, metric, much).any()
