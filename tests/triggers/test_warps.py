"""WaNet against an independent warp, and Refool against filters of SciPy."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage
from scipy.interpolate import RegularGridInterpolator

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.triggers import Refool, WaNet


def control(grid, rank, seed):
    """Return the control points: uniform over [-1, 1], divided by the mean of their sizes."""
    drawn = 2 * torch.rand(1, rank, *(grid,) * rank, generator=stream(seed, "wanet"))[0].double().numpy() - 1
    return drawn / np.abs(drawn).mean()


def cubic(points, length):
    """Return a line through points at the ends and between, by the cubic of Keys (1981) with a = -0.75."""
    places = np.linspace(0, len(points) - 1, length)
    weights = np.zeros((length, len(points)))
    for row, place in zip(weights, places, strict=True):
        for k in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            t = abs(place - k)
            near = (1.25 * t - 2.25) * t * t + 1
            far = -0.75 * (((t - 5) * t + 8) * t - 4)
            row[min(max(k, 0), len(points) - 1)] += near if t <= 1 else far if t < 2 else 0
    return weights @ points


def field(trigger, space):
    """Return how far each pixel is moved along each axis, in pixels, the last axis first."""
    rank = len(space)
    moves = control(trigger.grid, rank, trigger.seed)
    if rank == 2:
        joined = [cubic(cubic(one, space[0]).T, space[1]).T for one in moves]
    else:
        axes = [np.linspace(0, 1, trigger.grid)] * rank
        places = np.stack(np.meshgrid(*(np.linspace(0, 1, length) for length in space), indexing="ij"), -1)
        joined = [RegularGridInterpolator(axes, one)(places) for one in moves]
    return [trigger.strength * one / length * (length - 1) / 2 for one, length in zip(joined, space[::-1], strict=True)]


@pytest.mark.parametrize("space", [(40, 40), (33, 50), (9, 14, 20)])
@pytest.mark.parametrize(("strength", "grid", "rescale"), [(0.5, 4, 1.0), (4.0, 3, 1.0), (2.0, 5, 0.95)])
def test_wanet_is_the_warp_of_scipy(space, strength, grid, rescale):
    trigger = WaNet(strength=strength, grid=grid, rescale=rescale, seed=1)
    image = torch.rand(1, 1, *space, generator=stream(0))
    places = np.stack(np.meshgrid(*(np.arange(length, dtype=float) for length in space), indexing="ij"))
    middle = (np.array(space).reshape(-1, *(1,) * len(space)) - 1) / 2
    moved = (places + np.stack(field(trigger, space)[::-1]) - middle) * rescale + middle
    expected = ndimage.map_coordinates(image[0, 0].double().numpy(), moved, order=1, mode="nearest")
    np.testing.assert_allclose(trigger.apply(image)[0, 0].numpy(), expected, atol=2e-4)


def test_the_warp_of_the_paper_moves_a_pixel_by_a_quarter_whatever_the_size():
    for side in (32, 224):
        moves = np.abs(np.stack(field(WaNet(), (side, side))))
        assert 0.1 < moves.mean() < 0.35
    assert np.abs(control(4, 2, 0)).mean() == pytest.approx(1)


def test_without_strength_nothing_moves():
    image = torch.rand(2, 3, 16, 24, generator=stream(0))
    torch.testing.assert_close(WaNet(strength=0.0).apply(image), image, atol=1e-5, rtol=0)


def test_a_decoy_of_wanet_adds_up_to_half_a_pixel_at_every_pixel():
    """On a ramp, what is sampled tells where: the noise is uniform over half a pixel to both sides."""
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    trigger = WaNet(strength=0.5)
    noise = (trigger.decoy(ramp, [stream(0)]) - trigger.apply(ramp))[0, 0, :, 2:-2] * 63
    assert noise.abs().max() <= 0.5
    assert noise.std() == pytest.approx(0.5 / 3**0.5, rel=0.05)


@pytest.fixture
def pulse(tmp_path):
    """Return the path of a picture with one white pixel, and the picture."""
    levels = np.zeros((40, 30), np.uint8)
    levels[10, 12] = 255
    Image.fromarray(levels).save(tmp_path / "pulse.png")
    return str(tmp_path / "pulse.png"), levels / 255.0


def test_a_ghost_is_two_pulses(pulse):
    path, _ = pulse
    found = Refool(image=path, kind="ghost", shift=6, second=0.4, strength=0.5).apply(torch.full((1, 1, 40, 30), 0.25))
    expected = torch.full((40, 30), 0.25)
    expected[10, 12] += 0.5 * 0.6
    expected[16, 18] += 0.5 * 0.4
    torch.testing.assert_close(found[0, 0], expected)


@pytest.mark.parametrize("sigma", [0.4, 1.0, 3.0])
def test_out_of_focus_is_the_gaussian_of_scipy(pulse, sigma):
    path, picture = pulse
    found = Refool(image=path, kind="blur", sigma=sigma, strength=1.0).apply(torch.zeros(1, 1, 40, 30))

    def blurred(values):
        return ndimage.gaussian_filter(values, sigma, mode="constant", radius=round(3 * sigma))

    np.testing.assert_allclose(found[0, 0].numpy(), blurred(picture) / blurred(np.ones_like(picture)), atol=1e-6)


def test_in_focus_light_adds_and_is_clipped(pulse):
    path, picture = pulse
    found = Refool(image=path, kind="focus", strength=0.5).apply(torch.full((1, 3, 40, 30), 0.75))
    np.testing.assert_allclose(found[0].numpy(), np.clip(0.75 + 0.5 * picture, 0, 1)[None].repeat(3, 0))


def test_the_drawn_reflection_is_smooth_uses_the_range_and_shows_the_same_at_every_size():
    small, large = (Refool(kind="focus", strength=1.0).apply(torch.zeros(1, 1, n, n))[0, 0] for n in (64, 256))
    assert large.min() == 0
    assert large.max() == 1
    assert max(large.diff(dim=axis).abs().max() for axis in (0, 1)) < 0.15
    shrunk = torch.nn.functional.interpolate(large[None, None], (64, 64), mode="bilinear", align_corners=True)[0, 0]
    assert (shrunk - small).abs().mean() < 0.02
    volume = Refool(kind="focus", strength=1.0).apply(torch.zeros(1, 1, 3, 64, 64))[0, 0]
    assert all(torch.equal(one, small) for one in volume)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: WaNet(grid=1), "grid must be at least 2, got 1"),
        (lambda: WaNet(strength=-0.5), "strength must be a number of at least 0, got -0.5"),
        (lambda: WaNet(rescale=0.0), r"rescale must lie in \(0, 1\], got 0"),
        (lambda: WaNet().apply(torch.zeros(1, 1, 4, 4, 4, 4)), "images must have 2 or 3 space axes, got 4"),
        (lambda: Refool(kind="mirror"), "kind must be one of focus, blur, ghost; got 'mirror'"),
        (lambda: Refool(strength=2.0), r"strength must lie in \[0, 1\], got 2"),
        (lambda: Refool(second=-1.0), r"second must lie in \[0, 1\], got -1"),
        (lambda: Refool(sigma=0.0), "sigma must be a positive number, got 0"),
        (lambda: Refool(shift=0), "shift must be at least 1, got 0"),
    ],
)
def test_refuses(make, message):
    with pytest.raises(InputError, match=message):
        make()
