"""FIBA against the recipe of its authors' code, written out in NumPy, and the laws of mixing amplitudes."""

import math
import pickle

import numpy as np
import pytest
import torch
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.phantoms import draw
from aseptic.triggers import FIBA, describe_trigger, make_trigger, pin_trigger

SHAPES = [
    (1, 224, 224),
    (3, 224, 224),
    (3, 41, 56),
    (1, 56, 41),
    (2, 33, 33),
    (4, 30, 20),
    (1, 16, 24, 20),
    (3, 11, 21, 25),
]


def window(space, beta):
    """Return the middle of a shifted spectrum: as many places to each side of the mean as the shortest side says."""
    reach = math.floor(min(space) * beta)
    return tuple(slice(max(n // 2 - reach, 0), min(n // 2 + reach + 1, n)) for n in space)


def recipe(image, picture, alpha, beta, *, clip=True):
    """Return PROTOCOLS 4c word for word: levels of 0 to 255, the shifted amplitudes mixed, the phases kept."""
    axes = tuple(range(1, image.ndim))
    spectrum = np.fft.fftn(image * 255.0, axes=axes)
    amplitude, phase = np.abs(spectrum), np.angle(spectrum)
    wanted = np.fft.fftshift(np.abs(np.fft.fftn(picture * 255.0, axes=axes)), axes=axes)
    mixed = np.fft.fftshift(amplitude, axes=axes)
    inside = (slice(None), *window(image.shape[1:], beta))
    mixed[inside] = (1 - alpha) * mixed[inside] + alpha * wanted[inside]
    found = np.fft.ifftn(np.fft.ifftshift(mixed, axes=axes) * np.exp(1j * phase), axes=axes)
    assert np.abs(found.imag).max() < 1e-9, "the result is real"
    return np.clip(found.real / 255, 0, 1) if clip else found.real / 255


def noise(shape, low=0.0, high=1.0, seed=0):
    drawn = torch.rand(shape, generator=stream(seed, "fiba", *shape), dtype=torch.float64)
    return low + (high - low) * drawn


def spectrum(images):
    return np.fft.fftn(images.double().numpy(), axes=range(2, images.ndim))


@pytest.fixture
def pool(tmp_path):
    """Return a folder with three pictures, and something else."""
    folder = tmp_path / "pool"
    (folder / "deeper").mkdir(parents=True)
    for seed, name in enumerate(["a.png", "b.png", "c.png", "deeper/d.png", ".hidden.png"]):
        levels = torch.randint(256, (20, 30, 3), generator=stream(seed, "pool"), dtype=torch.uint8).numpy()
        Image.fromarray(levels).save(folder / name)
    (folder / "readme.txt").write_text("Not a picture.")
    return folder


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize(("alpha", "beta"), [(0.15, 0.1), (0.6, 0.23), (1.0, 0.5), (0.3, 0.0), (0.5, 1.0)])
def test_it_is_the_recipe_of_the_authors(shape, alpha, beta):
    trigger, images = FIBA(alpha=alpha, beta=beta, seed=2), noise((2, *shape))
    picture = trigger.picture(shape[0], shape[1:]).double().numpy()
    found = trigger.apply(images)
    assert found.dtype == torch.float64
    for one, image in zip(found, images, strict=True):
        np.testing.assert_allclose(one.numpy(), recipe(image.numpy(), picture, alpha, beta), rtol=0, atol=1e-6)


@pytest.mark.parametrize("phantom", ["derm", "cxr", "kidney"])
def test_in_single_precision_it_is_the_recipe_to_far_below_a_stored_level(phantom):
    images = draw(phantom, 3, size=224, seed=0).images
    images = (images * 255).round() / 255
    trigger = FIBA()
    picture = trigger.picture(images.shape[1], (224, 224)).double().numpy()
    found = trigger.apply(images).double().numpy()
    expected = np.stack([recipe(image.double().numpy(), picture, 0.15, 0.1) for image in images])
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)
    other = np.round(found * 255) != np.round(expected * 255)
    assert other.mean() < 1e-3, "where a value lies between two levels"


@pytest.mark.parametrize("shape", [(2, 3, 41, 56), (2, 1, 6, 20, 18)])
def test_without_alpha_nothing_changes(shape):
    images = noise(shape).float()
    assert torch.equal(FIBA(alpha=0.0).apply(images), images)


@pytest.mark.parametrize("space", [(224, 224), (225, 223), (20, 31, 24)])
def test_phases_stay_and_only_the_window_changes(space):
    images, trigger = noise((1, 1, *space), 0.35, 0.65), FIBA(alpha=0.1)
    found = trigger.apply(images)
    assert 0 < found.min() < found.max() < 1, "nothing is clipped"
    before, after = (np.fft.fftshift(spectrum(one)[0, 0]) for one in (images, found))
    np.testing.assert_allclose(np.angle(after / before), 0, atol=1e-7)
    changed = np.abs(after - before) > 1e-9 * np.abs(before).max()
    expected = np.zeros(space, dtype=bool)
    expected[window(space, 0.1)] = True
    assert (changed == expected).all()
    if space == (224, 224):
        assert expected.sum() == changed.sum() == 45 * 45, "with the mean in the middle, not 22 x 22"
        assert changed[112, 112]


def test_the_mean_is_mixed_too():
    images, trigger = noise((1, 3, 32, 32), 0.4, 0.6), FIBA(alpha=0.25)
    picture = trigger.picture(3, (32, 32)).double()
    expected = 0.75 * images[0].mean((1, 2)) + 0.25 * picture.mean((1, 2))
    torch.testing.assert_close(trigger.apply(images)[0].mean((1, 2)), expected)


@pytest.mark.parametrize("level", [0.0, 0.3, 1 / 3, 100 / 255, 1.0])
def test_a_flat_image_has_phase_0_whatever_the_rounding(level):
    """Of a constant image all coefficients but the mean are exactly 0; a transform leaves dust with any phase."""
    trigger = FIBA(alpha=0.2)
    expected = recipe(np.full((1, 61, 60), 0.0), trigger.picture(1, (61, 60)).double().numpy(), 0.2, 0.1, clip=False)
    expected = np.clip(0.8 * level + expected, 0, 1)
    for dtype in (torch.float32, torch.float64):
        found = trigger.apply(torch.full((1, 1, 61, 60), level, dtype=dtype))
        np.testing.assert_allclose(found[0].numpy(), expected, rtol=0, atol=1e-5)


def test_the_spectrum_of_the_picture_is_computed_once_for_each_shape(monkeypatch):
    compute, calls = FIBA.amplitudes, []

    def counted(self, pictures):
        calls.append(tuple(pictures.shape))
        return compute(self, pictures)

    monkeypatch.setattr(FIBA, "amplitudes", counted)
    trigger, same = FIBA(seed=1234), FIBA(seed=1234)
    for one in (trigger, same, pickle.loads(pickle.dumps(trigger))):  # noqa: S301 - our own
        one.apply(noise((2, 3, 24, 20)))
        one.apply(noise((1, 1, 24, 20)))
    assert calls == [(1, 3, 24, 20), (1, 1, 24, 20)]
    assert trigger == same
    assert hash(trigger) == hash(same)
    assert trigger == pickle.loads(pickle.dumps(trigger))  # noqa: S301 - our own
    FIBA(seed=1235).apply(noise((2, 3, 24, 20)))
    assert len(calls) == 3


def test_a_picture_on_disk_is_stretched_and_read_again_when_it_changes(tmp_path):
    path, images = tmp_path / "picture.png", noise((1, 3, 40, 40))
    found = []
    for level in (0, 255):
        Image.new("RGB", (9, 7), (level, 128, 255 - level)).save(path)
        found.append(FIBA(image=str(path), alpha=0.5).apply(images))
    assert not torch.equal(*found)
    picture = torch.tensor([1, 128 / 255, 0], dtype=torch.float64).reshape(3, 1, 1).expand(3, 40, 40)
    np.testing.assert_allclose(found[1][0].numpy(), recipe(images[0].numpy(), picture.numpy(), 0.5, 0.1), atol=1e-6)


def test_a_drawn_picture_is_the_same_at_every_size_and_falls_as_photographs_do():
    small, large = (FIBA(seed=3).picture(3, (n, n)) for n in (64, 256))
    shrunk = torch.nn.functional.interpolate(large[None], (64, 64), mode="area")[0]
    assert (shrunk - small).abs().mean() < 0.03
    amplitude = np.zeros((256, 256))
    for seed in range(20):
        amplitude += np.abs(np.fft.fft2(FIBA(seed=seed).picture(1, (256, 256))[0].double().numpy()))
    steps = np.fft.fftfreq(256, 1 / 256)
    radius = np.hypot(steps[:, None], steps)
    rings = [amplitude[(radius >= low) & (radius < high)].mean() for low, high in ((4, 6), (18, 22))]
    assert math.log(rings[1] / rings[0]) / math.log(4) == pytest.approx(-1, abs=0.25)
    means = torch.stack([FIBA(seed=seed).picture(3, (16, 16)).mean((1, 2)) for seed in range(30)])
    assert means.std(0).min() > 0.08, "colours differ"


def test_decoys_have_other_amplitudes_than_the_trigger_and_than_each_other(tmp_path):
    Image.fromarray((noise((30, 30, 3)) * 255).byte().numpy()).save(tmp_path / "picture.png")
    images = noise((1, 3, 48, 48), 0.3, 0.7).expand(8, -1, -1, -1)
    for trigger in (FIBA(), FIBA(image=str(tmp_path / "picture.png"))):
        decoys = trigger.decoy(images, [stream(0, row) for row in range(8)])
        together = torch.cat([trigger.apply(images[:1]), decoys])
        amplitude = np.abs(spectrum(together - images[:1]))[:, :, 0, 1:5].reshape(9, -1)
        apart = np.abs(amplitude[:, None] - amplitude).mean(-1)
        assert apart[~np.eye(9, dtype=bool)].min() > 0.1 * amplitude.mean()


def test_decoys_of_a_pool_are_its_pictures(pool):
    images = noise((12, 3, 30, 28))
    trigger = FIBA(pool=str(pool), alpha=0.4)
    decoys = trigger.decoy(images, [stream(0, row) for row in range(12)])
    each = torch.stack([FIBA(image=str(pool / name), alpha=0.4).apply(images) for name in ("a.png", "b.png", "c.png")])
    same = torch.isclose(each, decoys, rtol=0, atol=1e-12).flatten(2).all(2)
    assert (same.sum(0) == 1).all(), "each is one of the three"
    assert same.any(1).all(), "none is never drawn"


def test_files_and_folders_can_be_pinned(pool):
    image = pool.parent / "trigger.png"
    Image.new("L", (8, 8), 77).save(image)
    pinned = pin_trigger(FIBA(image=str(image), pool=str(pool)))
    assert make_trigger(**describe_trigger(pinned)) == pinned == pin_trigger(pinned)
    assert pinned.sha256 == pin_trigger(FIBA(image=str(image))).sha256
    images = noise((2, 1, 16, 16))
    before = pinned.decoy(images, [stream(0), stream(1)])
    (pool / "readme.txt").write_text("Nobody minds.")
    assert torch.equal(pinned.decoy(images, [stream(0), stream(1)]), before)
    Image.new("L", (8, 8), 78).save(pool / "b.png")
    for act in (lambda: pinned.decoy(images, [stream(0), stream(1)]), lambda: pin_trigger(pinned)):
        with pytest.raises(
            InputError, match=f"pool must be the folder with the SHA-256 {pinned.pool_sha256}, got .* with"
        ):
            act()
    assert pin_trigger(FIBA()) == FIBA()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda _: FIBA(alpha=1.5), r"alpha must lie in \[0, 1\], got 1.5"),
        (lambda _: FIBA(beta=-0.1), r"beta must lie in \[0, 1\], got -0.1"),
        (lambda _: FIBA(sha256="0" * 64), "sha256 must come with an image, got none"),
        (lambda _: FIBA(pool_sha256="0" * 64), "pool_sha256 must come with a pool, got none"),
        (
            lambda _: FIBA(pool="x", pool_sha256="AB"),
            "pool_sha256 must be 64 hexadecimal digits in lower case, got 'AB'",
        ),
        (lambda _: FIBA().decoy(noise((2, 1, 8, 8)), [stream(0)]), "streams must hold one generator for each image"),
        (
            lambda pool: FIBA(pool=str(pool / "a.png")).decoy(noise((1, 1, 8, 8)), [stream(0)]),
            "pool must be a folder of pictures, got '.*a.png'",
        ),
        (
            lambda pool: pin_trigger(FIBA(pool=str(pool.parent))),
            "pool must be a folder of pictures, got '.*' with none",
        ),
    ],
)
def test_refuses(make, message, pool):
    with pytest.raises(InputError, match=message):
        make(pool)
