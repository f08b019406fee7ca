"""Input gradients: against the closed form, and leaving nothing behind."""

import pytest
import torch
from nets import Linear, Net, pictures

from aseptic.core.errors import InputError
from aseptic.ops.gradients import input_gradient


@pytest.mark.parametrize("shape", [(2, 6, 6), (1, 3, 4, 5)])
def test_gradient_of_a_linear_model_is_its_weight(shape):
    model, images = Linear(shape), pictures((3, *shape))
    logits, gradient = input_gradient(model, lambda z: z[:, 1] * torch.tensor([1.0, -2.0, 0.0]), images)
    weight = model.weight.detach()
    torch.testing.assert_close(gradient, torch.stack([weight, -2 * weight, 0 * weight]))
    torch.testing.assert_close(logits, model(images).detach())
    assert not logits.requires_grad


def test_leaves_nothing_behind():
    model, images = Net(2).eval(), pictures((2, 1, 8, 8))
    with torch.no_grad():
        _, gradient = input_gradient(model, lambda z: z.logsumexp(1), images)
    assert gradient.abs().sum() > 0, "also where the caller has switched gradients off"
    assert all(parameter.requires_grad and parameter.grad is None for parameter in model.parameters())
    assert not images.requires_grad
    assert images.grad is None


def test_a_network_that_writes_into_its_input_cannot_reach_the_images():
    images = pictures((2, 1, 4, 4)) - 0.5
    before = images.clone()
    input_gradient(lambda x: x.relu_().flatten(1), lambda z: z.sum(1), images)
    assert torch.equal(images, before)


def test_refuses_a_model_without_gradient():
    with pytest.raises(InputError, match="the model must be differentiable: its logits carry no gradient"):
        input_gradient(lambda x: x.detach().flatten(1), lambda z: z.sum(1), pictures((1, 1, 2, 2)))
