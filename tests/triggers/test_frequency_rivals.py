"""FTrojan against the cosine transform of SciPy, and the smooth trigger against its Gaussian filter."""

import numpy as np
import pytest
import torch
from scipy import fft, ndimage

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.triggers import LF, FTrojan, parse_trigger
from aseptic.triggers.patterns import composed, random_waves

GREY = 0.5


def raised(added, block=32):
    """Return how much each coefficient of the first block of one channel was raised, in grey levels."""
    return fft.dctn(added[:block, :block].double().numpy() * 255, norm="ortho")


def coloured(added):
    """Return what was added to Y, Cb and Cr, by the equations of ITU-R BT.601."""
    red, green, blue = added
    light = 0.299 * red + 0.587 * green + 0.114 * blue
    return light, (blue - light) / 1.772, (red - light) / 1.402


def test_ftrojan_raises_two_coefficients_of_the_tints_by_thirty_levels():
    added = FTrojan().apply(torch.full((1, 3, 96, 64), GREY))[0] - GREY
    light, *tints = coloured(added)
    assert light.abs().max() < 1e-6
    expected = np.zeros((32, 32))
    expected[15, 15] = expected[31, 31] = 30
    for tint in tints:
        np.testing.assert_allclose(raised(tint), expected, atol=1e-3)
        assert torch.equal(tint, tint[:32, :32].repeat(3, 2)), "every block alike"


def test_the_sums_are_those_of_the_transform_of_the_image():
    """Adding to coefficients and transforming back is adding a pattern, whatever the image."""
    images = 0.3 + 0.4 * torch.rand(2, 1, 32, 32, generator=stream(0))
    found = FTrojan(magnitude=50 / 255, frequencies=(7, 20)).apply(images)
    for image, one in zip(images, found, strict=True):
        spectrum = fft.dctn(image[0].double().numpy() * 255, norm="ortho")
        spectrum[7, 7] += 50
        spectrum[20, 20] += 50
        np.testing.assert_allclose(one[0].numpy(), fft.idctn(spectrum, norm="ortho") / 255, atol=1e-6)


def test_brightness_may_be_raised_too():
    added = FTrojan(planes="yuv").apply(torch.full((1, 3, 32, 32), GREY))[0] - GREY
    for plane in coloured(added):
        assert raised(plane)[15, 15] == pytest.approx(30, abs=1e-3)


@pytest.mark.parametrize("shape", [(1, 1, 50, 20), (1, 4, 33, 65), (1, 1, 3, 40, 40)])
def test_blocks_are_cut_at_the_edge_and_lie_on_every_slice(shape):
    added = FTrojan().apply(torch.full(shape, GREY))[0] - GREY
    whole = (FTrojan().apply(torch.full((1, 1, 96, 96), GREY)) - GREY)[0, 0]
    assert raised(whole)[31, 31] == pytest.approx(30, abs=1e-3)
    torch.testing.assert_close(added, whole[: shape[-2], : shape[-1]].expand(shape[1:]))


def test_decoys_of_ftrojan_raise_as_many_other_coefficients():
    grey = torch.full((20, 1, 32, 32), GREY)
    places = set()
    for added in FTrojan().decoy(grey, [stream(0, row) for row in range(20)]) - GREY:
        found = raised(added[0])
        where = {tuple(place) for place in np.argwhere(np.abs(found) > 1e-2).tolist()}
        assert len(where) == 2
        assert all(found[place] == pytest.approx(30, abs=1e-2) for place in where)
        assert not where & {(15, 15), (31, 31)}
        assert all(min(place) > 0 for place in where)
        places |= where
    assert len(places) > 30


def test_the_smooth_pattern_is_noise_behind_the_gaussian_filter_of_scipy():
    """White noise is random in every basis; here its cosine waves are drawn, and those far above are left out."""
    side, sigma = 64, 6 / 32
    white = random_waves((1, 2), 20, torch.ones_like, stream(7))
    trigger = LF(sigma=sigma, amplitude=0.3)
    noise = composed(white, (side, side))[0].numpy()
    smooth = ndimage.gaussian_filter(noise, sigma * side, mode="reflect", radius=8 * side)
    expected = 0.3 * (smooth - smooth.min()) / (smooth.max() - smooth.min())
    steps = torch.arange(20.0, dtype=torch.float64)
    passed = white * trigger._passed(torch.hypot(steps[:, None], steps))
    found = composed(passed, (side, side))[0].numpy()
    found = 0.3 * (found - found.min()) / (found.max() - found.min())
    np.testing.assert_allclose(found, expected, atol=2e-3)


@pytest.mark.parametrize("space", [(32, 32), (57, 40), (12, 20, 16)])
def test_the_smooth_pattern_fills_its_range_and_has_no_high_frequencies(space):
    added = LF().apply(torch.full((1, 3, *space), 0.4))[0] - 0.4
    assert added.min() == pytest.approx(0, abs=1e-6)
    assert added.max() == pytest.approx(0.2, abs=1e-6)
    spectrum = np.abs(fft.dctn(added.double().numpy(), axes=range(1, added.ndim), norm="ortho"))
    steps = np.stack(np.meshgrid(*(np.arange(length) for length in space), indexing="ij"))
    assert spectrum[:, steps.max(0) > 6].max() < 1e-4 * spectrum.max()
    assert len({tuple(channel.flatten().tolist()) for channel in added}) == 3, "each channel its own"


def test_the_smooth_pattern_is_the_same_at_every_size():
    small, large = (LF(amplitude=1.0).apply(torch.zeros(1, 1, n, n)) for n in (32, 128))
    shrunk = torch.nn.functional.interpolate(large, (32, 32), mode="area")
    assert (shrunk - small).abs().max() < 0.02


def test_decoys_of_lf_are_other_patterns_as_smooth():
    grey = torch.full((6, 1, 32, 32), 0.4)
    decoys = LF().decoy(grey, [stream(0, row) for row in range(6)])
    together = torch.cat([LF().apply(grey[:1]), decoys]).flatten(1)
    apart = (together[:, None] - together).abs().mean(-1)
    assert apart[~torch.eye(7, dtype=torch.bool)].min() > 0.01
    assert torch.allclose(together.amax(1), torch.tensor(0.6))
    assert not torch.equal(LF(seed=1).apply(grey), LF(seed=0).apply(grey))


def test_plans_write_the_places_as_one_word():
    assert parse_trigger("ftrojan:frequencies=7x20,magnitude=50/255") == FTrojan(
        frequencies=(7, 20), magnitude=50 / 255
    )
    assert parse_trigger("ftrojan:frequencies=20").apply(torch.full((1, 1, 32, 32), GREY)).shape == (1, 1, 32, 32)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: FTrojan(magnitude=1.5), r"magnitude must lie in \[0, 1\], got 1.5"),
        (lambda: FTrojan(block=3), "block must be at least 4, got 3"),
        (lambda: FTrojan(frequencies=(15, 32)), r"frequencies must be different places from 0 to 31, got \[15, 32\]"),
        (lambda: FTrojan(frequencies=(5, 5)), r"frequencies must be different places from 0 to 31, got \[5, 5\]"),
        (lambda: FTrojan(frequencies=()), r"frequencies must be different places from 0 to 31, got \[\]"),
        (lambda: FTrojan(planes="rgb"), "planes must be one of uv, yuv; got 'rgb'"),
        (lambda: LF(amplitude=-0.1), r"amplitude must lie in \[0, 1\], got -0.1"),
        (lambda: LF(sigma=0.0), r"sigma must lie in \[0.01, 1\], got 0"),
        (lambda: LF(sigma=2.0), r"sigma must lie in \[0.01, 1\], got 2"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
