"""Bands of the spectrum against NumPy's transform, frequency by frequency, and what does not change them."""

import numpy as np
import pytest
import torch

from aseptic.core.rng import stream
from aseptic.ops.bands import FLOOR, band_of, log_bands


def draw(*shape):
    return torch.rand(shape, generator=stream(0, "bands", *shape))


@pytest.mark.parametrize(("space", "bands"), [((16, 16), 100), ((33, 20), 36), ((40, 7), 9), ((12, 9, 10), 64)])
def test_every_band_is_the_mean_power_of_its_frequencies(space, bands):
    images = draw(3, 2, *space)
    found = log_bands(images, bands)
    each = max(2, round(bands ** (1 / len(space))))
    power = np.abs(np.fft.fftn(images.double().numpy(), axes=range(2, 2 + len(space)))) ** 2
    power = power.mean(1) / np.prod(space)
    numbers = [band_of(length, each).numpy()[np.abs(np.fft.fftfreq(length, 1 / length)).round().astype(int)]
               for length in space]  # fmt: skip
    wanted = []
    for band in np.ndindex(*(number.max() + 1 for number in numbers)):
        inside = np.ones(space, bool)
        for axis, (number, one) in enumerate(zip(numbers, band, strict=True)):
            shape = [1] * len(space)
            shape[axis] = -1
            inside &= (number == one).reshape(shape)
        wanted.append(np.log(power[:, inside].mean(1) + FLOOR))
    torch.testing.assert_close(found.double(), torch.tensor(np.array(wanted).T), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("length", [2, 3, 8, 15, 64, 224, 513])
@pytest.mark.parametrize("count", [2, 5, 10, 20])
def test_bands_are_whole_and_in_order(length, count):
    band = band_of(length, count)
    assert len(band) == length // 2 + 1
    assert (band.diff() >= 0).all()
    assert (band.diff() <= 1).all()
    assert band.max() < max(count, length // 2 + 1)
    single = min(count // 2, len(band))
    assert band[:single].tolist() == list(range(single))


def test_moving_the_image_around_changes_nothing():
    images = draw(2, 1, 24, 20)
    torch.testing.assert_close(log_bands(images.roll((5, -3), (2, 3))), log_bands(images), atol=1e-3, rtol=1e-4)


def test_an_empty_image_is_no_outlier_without_bounds():
    empty = log_bands(torch.zeros(1, 1, 16, 16))
    torch.testing.assert_close(empty, torch.full_like(empty, float(np.log(FLOOR))))


def test_a_wave_shows_in_its_band_alone():
    wave = 0.1 * torch.sin(2 * torch.pi * 6 * torch.arange(64) / 64)
    change = log_bands(torch.full((1, 1, 64, 64), 0.5) + wave)[0] - log_bands(torch.full((1, 1, 64, 64), 0.5))[0]
    assert change.argmax() == band_of(64, 10)[6]
    assert (change > 1).sum() == 1
