"""Localisation of a known region: numbers worked out by hand, and laws."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream, stream
from aseptic.metrics.bootstrap import differences, resample
from aseptic.metrics.localisation import Localisation, localisation, measure_localisation

seeds = st.integers(0, 10_000)
NAMES = ("hit", "overlap", "mass", "uniform")


def draw(seed, *shape):
    return torch.rand(shape, generator=stream(seed))


def box(*space, start=0, side=2):
    region = torch.zeros(space, dtype=torch.bool)
    region[(slice(start, start + side),) * len(space)] = True
    return region


def numbers(found):
    return np.array([getattr(found, name) for name in NAMES])


def test_by_hand():
    maps = torch.tensor([[[4.0, 3, 0], [2, 1, 0]], [[0.0, 0, 1], [0, 3, 4]]])
    regions = torch.tensor([[[True, True, False], [False, False, False]]] * 2)
    found = localisation(maps, regions)
    np.testing.assert_allclose(numbers(found).T, [[1, 1, 0.7, 1 / 3], [0, 0, 0, 1 / 3]])
    half = localisation(maps, regions, top=0.5)
    np.testing.assert_allclose(half.overlap, [2 / 3, 0])


def test_a_volume_by_hand():
    maps = torch.zeros(1, 3, 4, 5)
    maps[0, 0, 0, :3] = torch.tensor([1.0, 2, 5])
    found = localisation(maps, box(3, 4, 5)[None])
    np.testing.assert_allclose(numbers(found)[:, 0], [0, 2 / 9, 3 / 8, 8 / 60])


def test_several_maxima_share_the_hit_and_are_all_in_the_top():
    maps = torch.tensor([[[1.0, 1, 1, 0, 0]]])
    found = localisation(maps, torch.tensor([[[True, False, False, False, False]]]))
    np.testing.assert_allclose([found.hit[0], found.overlap[0]], [1 / 3, 1 / 3])


def test_a_near_maximum_hits_within_the_tolerance():
    maps, region = torch.zeros(1, 9, 9), torch.zeros(1, 9, 9, dtype=torch.bool)
    maps[0, 4, 7] = region[0, 1, 3] = True
    assert [localisation(maps, region, tolerance=far).hit[0] for far in (0, 4.9, 5)] == [0, 0, 1]


@given(seed=seeds, space=st.sampled_from([(6, 7), (3, 4, 5)]))
def test_a_map_of_the_region_is_perfect_and_its_complement_is_nothing(seed, space):
    regions = draw(seed, 4, *space) > 0.7
    regions[:, 0] = True
    regions[:, 1] = False
    perfect, wrong = localisation(regions.float(), regions), localisation((~regions).float(), regions)
    np.testing.assert_allclose(numbers(perfect)[:3], 1)
    np.testing.assert_allclose(numbers(wrong)[:3], 0)


@given(seed=seeds, factor=st.floats(1e-3, 1e3), axis=st.sampled_from([1, 2]), top=st.sampled_from([None, 0.1]))
def test_scale_and_flips_change_nothing(seed, factor, axis, top):
    maps, regions = draw(seed, 3, 8, 6).mul(9).round(), draw(seed + 1, 3, 8, 6) > 0.8
    regions[:, 2, 2] = True
    before = numbers(localisation(maps, regions, top=top, tolerance=1))
    turned = localisation(maps.flip(axis) * factor, regions.flip(axis), top=top, tolerance=1)
    np.testing.assert_allclose(numbers(turned), before, rtol=1e-5)


@given(seed=seeds)
def test_the_mass_of_chance_is_the_uniform_share(seed):
    maps, regions = draw(seed, 200, 10, 10), box(10, 10, start=3, side=4).expand(200, 10, 10)
    found = localisation(maps, regions)
    assert found.mass.mean() == pytest.approx(0.16, abs=0.01)
    assert (found.uniform == 0.16).all()


def test_an_empty_region_is_not_measured_and_a_map_that_shows_nothing_points_nowhere():
    maps = torch.stack([torch.zeros(4, 4), torch.full((4, 4), 0.3), draw(0, 4, 4), draw(1, 4, 4)])
    regions = torch.stack([box(4, 4), box(4, 4), torch.zeros(4, 4, dtype=torch.bool), box(4, 4)])
    found = numbers(localisation(maps, regions))
    share = float(regions[0].float().mean())
    assert found[:, 0] == pytest.approx([0, 0, 0, share]), "of zeros, no pixel is the highest"
    assert found[:, 1] == pytest.approx([share, 0, share, share]), "the same everywhere: chance"
    assert np.isnan(found[:, 2]).all()
    assert not np.isnan(found[:, 3]).any()
    nothing = localisation(maps[:0], regions[:0])
    assert [len(getattr(nothing, name)) for name in NAMES] == [0] * 4


def test_means_and_paired_differences_leave_out_what_is_not_measured():
    def made(*hits):
        column = np.array(hits)
        return Localisation(hit=column, overlap=column / 2, mass=column / 4, uniform=np.full(len(hits), 0.1))

    sample = resample(None, 4, rng=numpy_stream(0))
    infected = measure_localisation(made(1.0, 1.0, 1.0, math.nan), sample)
    clean = measure_localisation(made(0.0, 1.0, 0.0, math.nan), sample)
    assert (infected["hit"].estimate.value, infected["hit"].estimate.n) == (1, 3)
    assert infected["hit"].estimate.low < 1, "three hits of three are not certainty"
    found = differences(infected, clean, sample)
    assert [found[name].value for name in NAMES] == pytest.approx([2 / 3, 1 / 3, 1 / 6, 0])
    assert found["hit"].low < 2 / 3 < found["hit"].high


def test_refuses_what_is_no_map_with_its_region():
    maps, regions = draw(0, 2, 4, 4), box(4, 4).expand(2, 4, 4)
    with pytest.raises(InputError, match=r"maps and regions must have one shape, got \[2, 4, 4\] and \[2, 4, 3\]"):
        localisation(maps, regions[..., :3])
    with pytest.raises(InputError, match="maps must be 0 or more everywhere, got negative or NaN values"):
        localisation(maps - 1, regions)
    with pytest.raises(InputError, match=r"top must lie in \(0, 1\], got 0"):
        localisation(maps, regions, top=0)
    with pytest.raises(InputError, match="tolerance must be 0 or more, got -1"):
        localisation(maps, regions, tolerance=-1)
