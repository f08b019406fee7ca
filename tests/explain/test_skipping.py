"""Grad-CAM with blocks left out: its closed form, the layer it finds in three DenseNets, and what it refuses."""

import pytest
import torch
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.explain.gradcam import gradcam
from aseptic.explain.gradcam_skipping import gradcam_skipping
from aseptic.models.archs import build
from aseptic.models.subject import Subject

CLASSES = ("a", "b", "c")


def draw(*shape, name="x"):
    return torch.rand(shape, generator=stream(0, name))


class Blocks(nn.Module):
    """Two maps of four channels, the second half as fine, and a linear layer on the mean of the second."""

    def __init__(self, dims=2, narrow=4):
        super().__init__()
        conv, pool = ((nn.Conv2d, nn.AvgPool2d), (nn.Conv3d, nn.AvgPool3d))[dims - 2]
        self.early = nn.Sequential(conv(1, 4, 3, padding=1), nn.ReLU())
        self.down = nn.Sequential(conv(4, narrow, 1), pool(2))
        self.late = conv(narrow, 4, 3, padding=1)
        self.head = nn.Linear(4, 3)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(draw(*parameter.shape, name=name) - 0.4)

    def forward(self, images):
        return self.head(self.late(self.down(self.early(images))).flatten(2).mean(2))


class Shortened(nn.Module):
    """What is explained in truth: the early map, its mean, the head."""

    def __init__(self, blocks):
        super().__init__()
        self.early, self.head = blocks.early, blocks.head

    def forward(self, images):
        return self.head(self.early(images).flatten(2).mean(2))


def subject(module, channels=1):
    return Subject(module.eval(), task="multiclass", classes=CLASSES, channels=channels)


@pytest.mark.parametrize("dims", [2, 3])
def test_it_is_the_gradcam_of_the_network_without_the_blocks(dims):
    blocks, images = Blocks(dims, narrow=2), draw(3, 1, *(8, 6, 4)[:dims])
    outputs = torch.tensor([2, 0, 1])
    maps = blocks.early(images)
    by_hand = torch.einsum("nc,nc...->n...", blocks.head.weight[outputs], maps).relu().detach()
    by_hand /= by_hand.flatten(1).amax(1).reshape(-1, *(1,) * dims)
    found = gradcam_skipping(subject(blocks), images, outputs, batch_size=2)
    torch.testing.assert_close(found, by_hand)
    torch.testing.assert_close(found, gradcam(subject(Shortened(blocks)), images, outputs))
    named = gradcam_skipping(subject(blocks), images, outputs, layer="module.early.1", head="module.head")
    torch.testing.assert_close(named, found)


@pytest.mark.parametrize(
    ("name", "layer"),
    [
        ("torchvision:densenet121", "features.transition3.relu"),
        ("timm:densenet121", "features.transition3.norm"),
        ("monai:densenet121", "features.transition3.relu"),
    ],
)
def test_in_a_densenet_it_looks_before_the_last_transition_shrinks(name, layer):
    model = subject(build(name, outputs=3, channels=1, size=(64, 64)))
    images, outputs = draw(2, 1, 64, 64), torch.tensor([0, 2])
    found = gradcam_skipping(model, images, outputs)
    assert torch.equal(found, gradcam_skipping(model, images, outputs, layer=f"module.{layer}"))
    assert found.shape == (2, 64, 64)
    assert (found >= 0).all()


def test_refuses_networks_whose_blocks_cannot_be_skipped():
    images, output = draw(1, 1, 32, 32), torch.tensor([0])
    resnet = subject(build("timm:resnet18", outputs=3, channels=1))
    with pytest.raises(InputError, match=r"ResNet has no map of 512 channels, as its final .* changes to 2x2"):
        gradcam_skipping(resnet, images, output)
    flat = nn.Sequential(nn.Conv2d(1, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    with pytest.raises(InputError, match="the final layer of Sequential must be a linear one with 3 outputs, got none"):
        gradcam_skipping(subject(flat), images, output)
    with pytest.raises(InputError, match=r"must be a linear one with 3 outputs, got Conv2d\("):
        gradcam_skipping(subject(Blocks()), images, output, head="module.late")
    with pytest.raises(InputError, match=r"layer must have 4 channels, as many as .* inputs, got 2 of 'module\.down'"):
        gradcam_skipping(subject(Blocks(narrow=2)), images, output, layer="module.down")
    with pytest.raises(InputError, match=r"outputs must lie in 0\.\.2"):
        gradcam_skipping(subject(Blocks()), images, output + 3)
    with pytest.raises(InputError, match=r"layer must be a module of Blocks, got 'module\.erly', did you mean"):
        gradcam_skipping(subject(Blocks()), images, output, layer="module.erly")
