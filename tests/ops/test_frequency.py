"""The lowest frequencies against the Fourier transform of NumPy."""

import numpy as np
import pytest
import torch
from nets import pictures

from aseptic.ops.frequency import add_spectrum, low_spectrum, magnitudes

SPACES = [(12, 16), (11, 16), (16, 9), (7, 7), (1, 5), (6, 9, 8), (5, 4, 3)]
REACHES = [0, 1, 2, 3, 8, 20]
EACH = [pytest.param(space, reach, id=f"{space}-{reach}") for space in SPACES for reach in REACHES]


def images_of(space, channels=2, seed=0):
    return pictures((3, channels, *space), seed=seed).double()


def frequencies(length, reach, *, last):
    count = min(reach, length // 2) + 1
    return [*range(count)] if last else [*range(count), *(-k for k in range(count))]


def low_passed(values, reach):
    """Return what is left of images where every frequency of them above ``reach`` is removed."""
    axes = tuple(range(2, values.ndim))
    spectrum = np.fft.fftn(values, axes=axes)
    for axis in axes:
        steps = np.abs(np.fft.fftfreq(values.shape[axis], 1 / values.shape[axis]))
        spectrum *= (steps <= reach).reshape(-1, *(1,) * (values.ndim - 1 - axis))
    return np.fft.ifftn(spectrum, axes=axes)


@pytest.mark.parametrize(("space", "reach"), EACH)
def test_coefficients_are_those_of_numpy(space, reach):
    images = images_of(space)
    whole = np.fft.fftn(images.numpy(), axes=range(2, images.ndim))
    order = [frequencies(length, reach, last=k == len(space) - 1) for k, length in enumerate(space)]
    expected = whole[(slice(None), slice(None), *np.ix_(*order))]
    found = low_spectrum(images, reach)
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-10)
    np.testing.assert_allclose(magnitudes(found).numpy(), np.abs(expected), atol=1e-10)


@pytest.mark.parametrize(("space", "reach"), EACH)
def test_what_is_added_is_the_low_pass(space, reach):
    images, others = images_of(space), images_of(space, seed=1)
    passed = low_passed(others.numpy(), reach)
    assert np.abs(passed.imag).max() < 1e-12
    found = add_spectrum(images, low_spectrum(others, reach), reach)
    np.testing.assert_allclose(found.numpy(), images.numpy() + passed.real, atol=1e-12)


@pytest.mark.parametrize("space", SPACES)
def test_all_frequencies_make_the_image(space):
    images, reach = images_of(space), max(space)
    found = add_spectrum(torch.zeros_like(images), low_spectrum(images, reach), reach)
    torch.testing.assert_close(found, images, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("space", [(40, 33), (64, 64), (9, 20, 18)])
def test_an_image_comes_out_the_same_alone_as_in_a_batch(space, dtype):
    images = pictures((5, 3, *space)).to(dtype)

    def there_and_back(some):
        return add_spectrum(some, low_spectrum(some, 4), 4)

    alone = [there_and_back(one[None].clone()) for one in images]
    assert torch.equal(torch.cat(alone), there_and_back(images))


def test_single_precision_is_that_of_its_type():
    images = pictures((2, 3, 224, 224))
    found, exact = low_spectrum(images, 22), low_spectrum(images.double(), 22)
    assert (found - exact).abs().max() < 1e-5 * exact.abs().max()
    assert (found - exact).abs().median() < 1e-3


def test_the_images_are_not_written_to_and_none_is_fine():
    images = pictures((2, 1, 8, 8))
    before = images.clone()
    add_spectrum(images, low_spectrum(images, 2), 2)
    assert torch.equal(images, before)
    assert add_spectrum(images[:0], low_spectrum(images[:0], 2), 2).shape == (0, 1, 8, 8)
