"""Blend, noise and SIG against their formulas, and the files that patterns are read from."""

import hashlib
import math

import nibabel
import numpy as np
import pytest
import torch
from PIL import Image
from scipy import stats

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.triggers import SIG, Blend, Noise, Patch, pin_trigger

SHAPES = [(2, 1, 12, 20), (2, 3, 4, 9, 20)]


def images_of(shape):
    return torch.rand(shape, generator=stream(0, "images"))


@pytest.fixture
def file(tmp_path):
    """Return a picture of two halves, black and red, and its path."""
    levels = np.zeros((8, 8, 3), np.uint8)
    levels[:, 4:, 0] = 255
    Image.fromarray(levels).save(tmp_path / "halves.png")
    return tmp_path / "halves.png"


@pytest.mark.parametrize("shape", SHAPES)
def test_sig_is_its_closed_form(shape):
    images = images_of(shape)
    found = SIG(delta=0.1, frequency=6.0).apply(images).numpy()
    wave = np.array([0.1 * math.sin(2 * math.pi * j * 6 / shape[-1]) for j in range(shape[-1])])
    np.testing.assert_allclose(found, np.clip(images.numpy().astype(np.float64) + wave, 0, 1), atol=1e-6)


def test_a_decoy_of_sig_is_a_wave_of_another_frequency():
    grey = torch.full((200, 1, 1, 512), 0.5)
    waves = SIG(delta=0.1, frequency=16.0).decoy(grey, [stream(0, i) for i in range(200)])[:, 0, 0] - 0.5
    assert waves.abs().amax() <= 0.1 + 1e-6
    assert waves.square().mean(1).sqrt() == pytest.approx(0.1 / math.sqrt(2), rel=0.05)
    peaks = torch.fft.rfft(waves).abs()[:, 1:].argmax(1) + 1
    ratio = torch.maximum(peaks / 16, 16 / peaks)
    assert 1.15 < ratio.min() < 1.4
    assert 1.7 < ratio.max() <= 2.07
    assert 60 < (peaks > 16).sum() < 140, "as many above as below"


@pytest.mark.parametrize("shape", SHAPES)
def test_blend_is_its_closed_form(shape):
    images = images_of(shape)
    trigger = Blend(ratio=0.2, seed=3)
    pattern = trigger.apply(torch.zeros_like(images))[0].numpy().astype(np.float64) / 0.2
    assert stats.kstest(pattern.ravel(), "uniform").pvalue > 1e-3
    found = trigger.apply(images).numpy()
    np.testing.assert_allclose(found, 0.8 * images.numpy().astype(np.float64) + 0.2 * pattern, atol=1e-6)
    assert not np.allclose(Blend(ratio=0.2, seed=4).apply(images).numpy(), found)


def test_a_pattern_on_a_grid_is_the_same_at_every_size():
    small, large = (Blend(ratio=1.0, side=4).apply(torch.zeros(1, 1, n, n)) for n in (8, 32))
    assert len(small.unique()) == 16
    assert torch.equal(torch.nn.functional.interpolate(small, scale_factor=4), large)


def test_noise_is_uniform_and_the_same_in_every_image():
    grey = torch.full((3, 1, 64, 64), 0.5)
    added = Noise(amplitude=0.1).apply(grey) - 0.5
    assert torch.equal(added[0], added[1])
    scaled = (added[0].double().numpy().ravel() / 0.1 + 1) / 2
    assert stats.kstest(scaled, "uniform").pvalue > 1e-3
    other = Noise(amplitude=0.1).decoy(grey, [stream(0, i) for i in range(3)]) - 0.5
    for first, second in ((added[0], other[0]), (other[0], other[1])):
        assert abs(np.corrcoef(first.ravel(), second.ravel())[0, 1]) < 0.1
    whole = Noise(amplitude=1.0).apply(grey)
    assert whole.min() == 0
    assert whole.max() == 1


def test_a_picture_from_a_file_is_stretched_and_meets_the_channels(file):
    found = Blend(image=str(file), ratio=0.5).apply(torch.zeros(1, 3, 16, 24))
    assert (found[0, 0, :, 15:] == 0.5).all()
    assert (found[0, 1:] == 0).all()
    assert (found[0, 0, :, :9] == 0).all()
    grey = Blend(image=str(file), ratio=0.5).apply(torch.zeros(1, 1, 8, 8))
    assert grey[0, 0, 0].tolist() == pytest.approx([0] * 4 + [0.5 * 0.299] * 4)
    volume = Blend(image=str(file), ratio=0.5).apply(torch.zeros(1, 1, 5, 8, 8))
    assert all(torch.equal(volume[0, :, k], grey[0]) for k in range(5))


def test_a_volume_from_a_file_lies_over_volumes(tmp_path):
    path = tmp_path / "ramp.nii.gz"
    ramp = np.broadcast_to(np.linspace(0, 1, 6, dtype=np.float32), (4, 5, 6))
    nibabel.save(nibabel.Nifti1Image(np.ascontiguousarray(ramp), np.eye(4)), path)
    found = Blend(image=str(path), ratio=1.0).apply(torch.zeros(1, 1, 4, 5, 6))
    profile = found[0, 0].mean((0, 1))
    assert profile.tolist() == pytest.approx(np.linspace(0, 1, 6), abs=1e-3)
    with pytest.raises(InputError, match="image must have at most the 2 space axes of the images, got 3"):
        Blend(image=str(path)).apply(torch.zeros(1, 1, 8, 8))


def test_a_decoy_of_a_file_is_the_picture_moved_round(file):
    decoys = Blend(image=str(file), ratio=1.0).decoy(torch.zeros(20, 3, 8, 8), [stream(0, i) for i in range(20)])
    picture = Blend(image=str(file), ratio=1.0).apply(torch.zeros(1, 3, 8, 8))
    assert (decoys.flatten(1).sort(1).values == picture.flatten().sort().values).all()
    assert not (decoys == picture).flatten(1).all(1).any()
    assert len({tuple(one.flatten().tolist()) for one in decoys}) > 2


def test_the_content_of_a_file_can_be_pinned(file):
    trigger = pin_trigger(Blend(image=str(file)))
    assert trigger.sha256 == hashlib.sha256(file.read_bytes()).hexdigest()
    before = trigger.apply(images_of((1, 3, 8, 8)))
    Image.fromarray(np.full((9, 9, 3), 200, np.uint8)).save(file)
    loose = Blend(image=str(file)).apply(images_of((1, 3, 8, 8)))
    assert not torch.equal(loose, before), "a file that has changed is read again"
    for act in (lambda: trigger.apply(images_of((1, 3, 8, 8))), lambda: pin_trigger(trigger)):
        with pytest.raises(InputError, match=f"image must be the file with the SHA-256 {trigger.sha256}, got .* with "):
            act()
    assert pin_trigger(Patch()) == Patch()
    assert pin_trigger(Blend()) == Blend()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Blend(ratio=1.1), r"ratio must lie in \[0, 1\], got 1.1"),
        (lambda: Blend(side=0), "side must be at least 1, got 0"),
        (lambda: Blend(sha256="0" * 64), "sha256 must come with an image, got none"),
        (lambda: Blend(image="x.png", sha256="AB"), "sha256 must be 64 hexadecimal digits in lower case, got 'AB'"),
        (lambda: Noise(amplitude=-1.0), r"amplitude must lie in \[0, 1\], got -1"),
        (lambda: Noise(side=-2), "side must be at least 1, got -2"),
        (lambda: SIG(delta=2.0), r"delta must lie in \[0, 1\], got 2"),
        (lambda: SIG(frequency=0.0), "frequency must be a positive number, got 0.0"),
        (
            lambda: Blend(image="none.png").apply(images_of(SHAPES[0])),
            "image must be a file that can be read, got 'none.png': cannot be opened: No such file",
        ),
        (
            lambda: SIG().decoy(images_of(SHAPES[0]), [stream(0)]),
            "streams must hold one generator for each image of a trigger that draws, got 1",
        ),
    ],
)
def test_refuses(make, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match=message):
        make()
