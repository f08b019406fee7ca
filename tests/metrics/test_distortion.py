"""Distances between images against scikit-image and NumPy."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.metrics.distortion import distortion, ssim

SHAPES = pytest.mark.parametrize("shape", [(3, 1, 20, 17), (2, 3, 12, 15), (2, 1, 12, 11, 13)])


def pair(shape, seed=0):
    rng = numpy_stream(seed)
    first = rng.random(shape).astype(np.float32)
    return first, np.clip(first + 0.1 * rng.normal(size=shape), 0, 1).astype(np.float32)


@SHAPES
def test_agrees_with_scikit_image(shape):
    first, second = pair(shape)
    found = distortion(first, second)
    for row, (a, b) in enumerate(zip(first.astype(float), second.astype(float), strict=True)):
        assert found.psnr[row] == pytest.approx(peak_signal_noise_ratio(a, b, data_range=1))
        oracle = structural_similarity(
            a, b, data_range=1, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=0
        )
        assert found.ssim[row] == pytest.approx(oracle, abs=1e-9)


@SHAPES
def test_norms_agree_with_numpy(shape):
    first, second = pair(shape)
    found, change = distortion(first, second), (second.astype(float) - first).reshape(shape[0], -1)
    for name, order in (("linf", np.inf), ("l2", 2), ("l1", 1)):
        np.testing.assert_allclose(getattr(found, name), np.linalg.norm(change, ord=order, axis=1))


def test_equal_images():
    images, _ = pair((2, 1, 16, 16))
    found = distortion(images, images)
    np.testing.assert_allclose([found.linf, found.l2, found.l1], 0)
    np.testing.assert_allclose(found.ssim, 1)
    assert np.isnan(found.psnr).all(), "there is no noise to compare with"


@settings(max_examples=25)
@given(seed=st.integers(0, 1000))
def test_similarity_is_symmetric_and_at_most_one(seed):
    first, second = pair((2, 1, 13, 12), seed)
    there, back = ssim(first, second), ssim(second, first)
    np.testing.assert_allclose(there, back)
    assert (there < 1).all()
    assert (there >= ssim(first, np.clip(first + 3 * (second - first), 0, 1)) - 0.05).all()


def test_images_smaller_than_the_window_have_no_similarity():
    first, second = pair((2, 1, 10, 40))
    found = distortion(first, second)
    assert np.isnan(found.ssim).all()
    assert not np.isnan(found.psnr).any()


def test_refuses_different_shapes():
    with pytest.raises(InputError, match=r"images must have one shape, got \[1, 1, 4, 4\] and \[1, 1, 4, 5\]"):
        distortion(np.zeros((1, 1, 4, 4)), np.zeros((1, 1, 4, 5)))
