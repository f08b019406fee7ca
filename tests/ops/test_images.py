"""Channels and size: what becomes of grey, of colour and of volumes, and what is refused."""

import numpy as np
import pytest
import torch
from nets import pictures
from PIL import Image

from aseptic.core.errors import InputError
from aseptic.ops.images import adapt_channels, resize, take


def test_grey_is_repeated_and_colour_becomes_luma():
    grey = pictures((2, 1, 4, 4, 4))
    assert torch.equal(adapt_channels(grey, 3), torch.cat([grey] * 3, 1))
    colours = torch.eye(3).reshape(3, 3, 1, 1)
    assert adapt_channels(colours, 1).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])
    assert adapt_channels(grey, 1) is grey


def test_luma_is_that_of_pillow():
    pixels = (pictures((1, 3, 8, 8)) * 255).round()
    expected = Image.fromarray(pixels[0].permute(1, 2, 0).byte().numpy()).convert("L")
    found = adapt_channels(pixels / 255, 1)[0, 0] * 255
    assert (found - torch.tensor(np.asarray(expected))).abs().max() <= 1


@pytest.mark.parametrize(("shape", "size"), [((2, 1, 16, 16), (4, 8)), ((2, 3, 8, 8, 8), (4, 4, 6))])
def test_resize_keeps_flat_images_and_the_mean_and_lets_gradients_through(shape, size):
    flat = torch.full(shape, 0.3)
    torch.testing.assert_close(resize(flat, size), torch.full((*shape[:2], *size), 0.3))
    ramp = torch.linspace(0, 1, shape[-1]).expand(shape).clone().requires_grad_()
    found = resize(ramp, size)
    torch.testing.assert_close(found.mean(), ramp.mean(), rtol=0, atol=0.02)
    (gradient,) = torch.autograd.grad(found.sum(), ramp)
    assert (gradient >= 0).all()
    assert gradient.sum() > 0
    assert resize(flat, shape[2:]) is flat


def test_shrinking_does_not_alias():
    fine = (torch.arange(64) % 2).float().expand(1, 1, 64, 64)
    assert (resize(fine, (16, 16)) - 0.5).abs()[..., 2:-2].max() < 0.1


def test_refuses_what_has_no_agreed_way():
    with pytest.raises(InputError, match="images must have 1 or 3 channels, got 4"):
        adapt_channels(pictures((1, 4, 4, 4)), 3)
    with pytest.raises(InputError, match=r"size must have 3 space axes as the images have, got \[4, 4\]"):
        resize(pictures((1, 1, 4, 4, 4)), (4, 4))


@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_images_are_taken_where_they_are_flagged(device):
    into, found = torch.zeros(4, 1, 2, 2), torch.arange(1.0, 4.0).reshape(3, 1, 1, 1).expand(3, 1, 2, 2)
    flags, rows = torch.tensor([True, False, True]), torch.tensor([3, 0, 1])
    if device == "meta":  # an accelerator's way, without one: no number may be asked for
        take(into.to("meta"), flags.to("meta"), found.to("meta"), rows.to("meta"))
        take(into[:3].to("meta"), flags.to("meta"), found.to("meta"))
        return
    take(into, flags, found, rows)
    assert into[:, 0, 0, 0].tolist() == [0, 3, 0, 1]
    take(into[:3], flags, found)
    assert into[:, 0, 0, 0].tolist() == [1, 3, 3, 1]
