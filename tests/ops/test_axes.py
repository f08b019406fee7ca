"""Maps along the axes of images: against interpolation, convolution and the cosine transform of torch and SciPy."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from nets import pictures
from scipy import fft, stats
from torch.nn import functional as F

from aseptic.ops.axes import along, framing, gaussian, low_pass, resizing, smoothing

SHAPES = pytest.mark.parametrize("shape", [(2, 3, 7, 10), (2, 1, 5, 4, 9)], ids=["2-D", "3-D"])


@SHAPES
@pytest.mark.parametrize("factor", [0.6, 1.0, 1.7])
def test_resizing_is_linear_interpolation(shape, factor):
    images = pictures(shape)
    size = [round(factor * length) for length in shape[2:]]
    mode = "bilinear" if len(size) == 2 else "trilinear"
    expected = F.interpolate(images, size=size, mode=mode, align_corners=False)
    found = along(images, [resizing(*pair) for pair in zip(shape[2:], size, strict=True)])
    torch.testing.assert_close(found, expected)


@SHAPES
def test_framing_is_resize_pad_resize(shape):
    images = pictures(shape)
    whole = [length + 3 for length in shape[2:]]
    size = [length + 1 for length in shape[2:]]
    mode = "bilinear" if len(size) == 2 else "trilinear"
    inner = F.interpolate(images, size=size, mode=mode, align_corners=False)
    padded = F.pad(inner, [1, 1] * len(size))
    expected = F.interpolate(padded, size=shape[2:], mode=mode, align_corners=False)
    sizes = zip(shape[2:], size, whole, strict=True)
    found = along(images, [framing(length, inside, 1, outside) for length, inside, outside in sizes])
    torch.testing.assert_close(found, expected)


@SHAPES
@pytest.mark.parametrize("width", [1, 3, 15])
def test_smoothing_is_a_convolution_along_every_axis(shape, width):
    images, kernel = pictures(shape), gaussian(width, 2.0).float()
    found = along(images, [smoothing(length, kernel) for length in shape[2:]])
    space = len(shape) - 2
    whole = kernel if space == 1 else torch.einsum("i,j->ij", kernel, kernel)
    whole = whole if space == 2 else torch.einsum("ij,k->ijk", whole, kernel)
    weight = whole.expand(shape[1], 1, *whole.shape)
    expected = (F.conv2d if space == 2 else F.conv3d)(images, weight, padding="same", groups=shape[1])
    torch.testing.assert_close(found, expected)


def test_gaussian_is_that_of_scipy():
    expected = stats.norm.pdf(torch.linspace(-3, 3, 15).numpy())
    torch.testing.assert_close(gaussian(15, 3), torch.tensor(expected / expected.sum()).double(), rtol=1e-6, atol=0)


@given(length=st.integers(1, 20), dropped=st.floats(0, 0.95))
def test_low_pass_is_that_of_scipy(length, dropped):
    signal = pictures((1, 1, length, 1))
    spectrum = fft.dct(signal[0, 0, :, 0].double().numpy(), norm="ortho")
    spectrum[length - int(dropped * length) :] = 0
    found = along(signal, [low_pass(length, dropped), torch.eye(1)])[0, 0, :, 0]
    torch.testing.assert_close(found, torch.tensor(fft.idct(spectrum, norm="ortho")).float(), rtol=1e-4, atol=1e-5)


@SHAPES
def test_each_image_may_have_its_own_matrix(shape):
    images = pictures(shape)
    drawn = [torch.randn(shape[0], length, length, generator=torch.Generator().manual_seed(1)) for length in shape[2:]]
    together = along(images, drawn)
    alone = torch.cat([along(images[row : row + 1], [one[row] for one in drawn]) for row in range(shape[0])])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)


def test_gradients_pass_through():
    images = pictures((1, 1, 4, 5)).double().requires_grad_()
    maps = [framing(4, 5, 1, 7), low_pass(5, 0.4)]
    assert torch.autograd.gradcheck(lambda image: along(image, maps), images)
