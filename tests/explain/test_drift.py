"""Drift of maps: its laws, and numbers worked out by hand."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.explain.compare import compare
from aseptic.explain.drift import drift
from aseptic.explain.gradcam import gradcam
from aseptic.explain.saliency import saliency
from aseptic.models.subject import Subject

seeds = st.integers(0, 10_000)


def draw(seed, *shape):
    return torch.rand(shape, generator=stream(seed))


@given(seed=seeds, dims=st.sampled_from([(6, 7), (3, 4, 5)]))
def test_equal_maps_do_not_drift(seed, dims):
    maps = draw(seed, 3, *dims)
    found = drift(maps, maps)
    np.testing.assert_allclose([found.rank, found.overlap, found.shift], [[1] * 3, [1] * 3, [0] * 3], atol=1e-12)


@given(seed=seeds, factor=st.floats(0.01, 100))
def test_drift_ignores_the_scale_and_the_direction(seed, factor):
    first, second = draw(seed, 2, 6, 6), draw(seed + 1, 2, 6, 6)
    ahead, back = drift(first, second), drift(second, first * factor)
    for name in ("rank", "overlap", "shift"):
        np.testing.assert_allclose(getattr(ahead, name), getattr(back, name), atol=1e-5)


@given(seed=seeds)
def test_rank_agrees_with_scipy(seed):
    first, second = (draw(seed + k, 4, 5, 5).mul(6).round() for k in (0, 1))
    oracle = [spearmanr(a.flatten(), b.flatten()).statistic for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(drift(first, second).rank, oracle, atol=1e-12)


def test_a_reversed_map_is_anticorrelated():
    maps = torch.arange(100.0).reshape(1, 10, 10)
    found = drift(maps, 99 - maps)
    assert found.rank == pytest.approx(-1)
    assert found.overlap == 0


def test_opposite_corners_are_one_diagonal_apart():
    first, second = torch.zeros(1, 5, 9), torch.zeros(1, 5, 9)
    first[0, 0, 0] = second[0, 4, 8] = 1
    found = drift(first, second)
    assert found.shift == pytest.approx(1)
    assert found.overlap == 0, "pixels that are 0 in both maps are no agreement"


def test_overlap_by_hand():
    first, second = torch.zeros(1, 10, 10), torch.zeros(1, 10, 10)
    first[0, 0] = torch.arange(1.0, 11)
    second[0, 0, 5:] = second[0, 1, :5] = 1
    assert drift(first, second).overlap == pytest.approx(5 / 15)


def test_a_constant_map_points_nowhere():
    flat, peaked = torch.full((1, 4, 4), 0.3), draw(0, 1, 4, 4)
    for first, second in ((flat, peaked), (peaked, torch.zeros(1, 4, 4)), (flat, flat)):
        found = drift(first, second)
        assert all(math.isnan(value[0]) for value in (found.rank, found.overlap, found.shift))


def test_refuses_what_is_no_pair_of_maps():
    with pytest.raises(InputError, match=r"maps must have one shape, got \[1, 4, 4\] and \[1, 4, 5\]"):
        drift(torch.zeros(1, 4, 4), torch.zeros(1, 4, 5))
    for wrong in (-1.0, math.nan):
        with pytest.raises(InputError, match="maps must be 0 or more everywhere"):
            drift(torch.zeros(1, 4, 4), torch.full((1, 4, 4), wrong))


class Halves(nn.Module):
    """Two outputs: the mean of the left and of the right half of the image."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 1, 1, bias=False)
        nn.init.ones_(self.conv.weight)

    def forward(self, images):
        maps = self.conv(images)
        middle = maps.shape[-1] // 2
        return torch.cat([maps[..., :middle].mean((2, 3)), maps[..., middle:].mean((2, 3))], 1)


@pytest.mark.parametrize("explain", [gradcam, saliency])
def test_compare_keeps_the_two_questions_apart(explain):
    model = Subject(Halves(), task="multiclass", classes=("left", "right"), channels=1)
    clean = draw(0, 2, 1, 8, 8) * 0.2
    clean[:, :, 1, 1] += 0.7
    clean[..., :4] += 0.1
    attacked = clean.clone()
    attacked[0, :, 6, 6] = 1
    attacked[0, ..., 4:] += 0.2
    found = compare(model, clean, attacked, explain)
    assert found.clean_outputs.tolist() == [0, 0]
    assert found.attacked_outputs.tolist() == [1, 0]
    assert torch.equal(found.attacked_same[1], found.attacked[1])
    assert torch.equal(found.attacked_same[0], explain(model, attacked[:1], torch.tensor([0]))[0])
    assert torch.equal(found.clean, explain(model, clean, found.clean_outputs))
    np.testing.assert_allclose([found.drift_same.rank[1], found.drift_decided.shift[1]], [1, 0], atol=1e-12)
    if explain is saliency:
        assert found.drift_same.shift[0] == pytest.approx(0), "the gradient for the left half is the same"
        assert found.drift_decided.shift[0] == pytest.approx(4 / math.hypot(7, 7)), "four columns to the right"


def test_compare_of_equal_images_shows_no_drift():
    model = Subject(Halves(), task="multiclass", classes=("left", "right"), channels=1)
    images = draw(1, 3, 1, 8, 8)
    found = compare(model, images, images, gradcam)
    for kind in (found.drift_decided, found.drift_same):
        np.testing.assert_allclose([kind.rank, kind.overlap, kind.shift], [[1] * 3, [1] * 3, [0] * 3], atol=1e-9)
