"""Smooth inversion: the window of frequencies, and the smallest smooth change where it is known."""

import numpy as np
import pytest
import torch
from scanned import race, straight
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.scanners.smooth import SmoothInversion, low_pass


@pytest.mark.parametrize("space", [(8, 8), (9, 12), (6, 7, 8)])
@pytest.mark.parametrize("beta", [0.1, 0.25, 0.4])
def test_the_window_is_that_of_the_whole_spectrum(space, beta):
    pictures = torch.rand((2, 3, *space), generator=stream(0, "pictures"), dtype=torch.float64)
    axes = tuple(range(2, pictures.ndim))
    spectrum = np.fft.fftshift(np.fft.fftn(pictures.numpy(), axes=axes), axes=axes)
    most = int(beta * min(space))
    window = np.zeros(space)
    window[tuple(slice(length // 2 - most, length // 2 + most + 1) for length in space)] = 1
    wanted = np.fft.ifftn(np.fft.ifftshift(spectrum * window, axes=axes), axes=axes)
    assert np.abs(wanted.imag).max() < 1e-12
    found = low_pass(pictures, beta)
    torch.testing.assert_close(found, torch.from_numpy(wanted.real))
    torch.testing.assert_close(low_pass(found, beta), found)


def test_all_frequencies_leave_a_picture_as_it_is():
    pictures = torch.rand((1, 1, 6, 6), generator=stream(0, "pictures"))
    torch.testing.assert_close(low_pass(pictures, 0.5), pictures)


@pytest.mark.parametrize("beta", [0.2, 0.5])
def test_a_linear_model_needs_the_projection_of_its_weights(beta):
    """Nothing is clipped here, so the smallest change is a multiple of the weights' low frequencies."""
    model = straight(pixels=(1, 8, 8))
    model.module.weight.data *= 0.05
    images = 0.5 + 0.02 * torch.randn((12, 1, 8, 8), generator=stream(0, "pictures"))
    weight = (model.module.weight[1] - model.module.weight[0]).detach().reshape(1, 1, 8, 8)
    with torch.no_grad():
        model.module.bias[1] -= (model(images)[:, 1] - model(images)[:, 0]).median()
        margin = model(images)[:, 1] - model(images)[:, 0]
    within = low_pass(weight, beta)
    least = torch.stack([margin.max(), -margin.min()]) / within.norm() / 8
    method = SmoothInversion(images=12, batch=4, rounds=120, threshold=1.0, beta=beta, patience=3, step=0.001, still=40)
    scan = method.scan(model, images)
    assert (-scan.scores >= least * (1 - 1e-4)).all()
    assert (-scan.scores <= 1.5 * least).all()
    change = scan.pictures[:, 0] - 0.5
    for sign, own in zip((-1, 1), change, strict=True):
        assert float((sign * own * within[0, 0]).sum() / own.norm() / within.norm()) > 0.8
    torch.testing.assert_close(scan.masks, change.abs(), atol=1e-6, rtol=0)


class Wave(nn.Module):
    """Decided by its halves, unless a wave over the whole picture is there."""

    def __init__(self, strength):
        super().__init__()
        axis = torch.arange(16) / 16
        self.wave = nn.Parameter(torch.sin(2 * torch.pi * axis).expand(16, 16).clone())
        self.strength = strength

    def forward(self, images):
        left, right = images[:, 0, :, :8].mean((1, 2)), images[:, 0, :, 8:].mean((1, 2))
        seen = (images[:, 0] * self.wave.T).mean((1, 2)) / self.wave.square().mean()
        zero = torch.zeros_like(left)
        return torch.stack([60 * (left - right), 60 * (right - left), self.strength * seen.relu() - 8, zero - 8], 1)


def test_a_wave_over_the_whole_picture_is_recovered():
    rng = stream(0, "pictures")
    images = 0.4 + 0.1 * torch.rand((16, 1, 16, 16), generator=rng)
    images[::2, ..., :8] += 0.1
    images[1::2, ..., 8:] += 0.1
    model = Subject(Wave(400.0), task="multiclass", classes=list("abcd"), channels=1)
    scan = SmoothInversion(images=16, batch=16, rounds=80, patience=3).scan(model, images)
    assert scan.outputs[scan.target] == "c"
    change, wave = scan.pictures[2, 0] - 0.5, model.module.wave.detach().T
    assert float((change * wave).sum() / change.norm() / wave.norm()) > 0.85
    assert scan.reached[2] == 1
    clean = SmoothInversion(images=16, batch=16, rounds=20, patience=3).scan(
        Subject(Wave(0.0), task="multiclass", classes=list("abcd"), channels=1), images
    )
    assert clean.scores[2] == -1, "without a backdoor nothing leads there"
    assert clean.statistic < scan.statistic


def test_all_outputs_in_one_batch_are_what_each_is_alone():
    images = 0.3 + 0.4 * torch.rand((8, 1, 8, 8), generator=stream(0, "pictures"))
    method = SmoothInversion(images=8, batch=4, rounds=12, patience=2, still=4)
    model = straight(3, pixels=(1, 8, 8))
    with torch.no_grad():
        model.module.bias -= model(images).mean(0)
    together = race(method, model, images, [0, 1, 2])
    for k in range(3):
        alone = race(method, model, images, [k])
        torch.testing.assert_close(together.best[0][k], alone.best[0][0])
        torch.testing.assert_close(together.sizes[k], alone.sizes[0])


@pytest.mark.parametrize("beta", [0.0, 0.6])
def test_refuses_a_window_beyond_the_spectrum(beta):
    with pytest.raises(InputError, match=rf"beta must lie in \(0, 0.5\], got {beta}"):
        SmoothInversion(beta=beta)
    with pytest.raises(InputError, match="rounds must be a whole number of at least 1, got 0"):
        SmoothInversion(rounds=0)
