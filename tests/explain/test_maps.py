"""Saliency and Grad-CAM against closed forms and against MONAI."""

import pytest
import timm
import torch
from monai.visualize import GradCAM
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.explain.base import decided
from aseptic.explain.gradcam import gradcam
from aseptic.explain.layers import last_map
from aseptic.explain.saliency import saliency
from aseptic.models.subject import Subject

CLASSES = ("a", "b", "c")


def draw(*shape, name="x"):
    return torch.rand(shape, generator=stream(0, name))


class Linear(nn.Module):
    """Logits ``w_k . x``."""

    def __init__(self, outputs, shape):
        super().__init__()
        self.weight = nn.Parameter(draw(outputs, *shape, name="weight") - 0.5)

    def forward(self, images):
        return images.flatten(1) @ self.weight.flatten(1).T


class Tiny(nn.Module):
    """One convolution, the mean over space, one linear layer: Grad-CAM by hand is ``ReLU(sum_c W_kc A_c) / places``."""

    def __init__(self, dims=2, *, inplace=False):
        super().__init__()
        self.conv = (nn.Conv2d, nn.Conv3d)[dims - 2](1, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True) if inplace else nn.Identity()
        self.head = nn.Linear(4, 3, bias=False)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(draw(*parameter.shape, name=name) - 0.5)

    def forward(self, images):
        return self.head(self.act(self.conv(images)).flatten(2).mean(2))


class Small(nn.Module):
    """Two convolutions with batch normalisation and in-place activations."""

    def __init__(self, channels=3):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(channels, 6, 3, stride=2), nn.BatchNorm2d(6), nn.ReLU(inplace=True), nn.Conv2d(6, 8, 3),
            nn.BatchNorm2d(8), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 3),
        )  # fmt: skip
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(draw(*parameter.shape, name=name) - 0.4)

    def forward(self, images):
        return self.body(images)


def subject(module, **facts):
    return Subject(module, task="multiclass", classes=CLASSES, **facts)


def peak_one(maps):
    return maps / maps.flatten(1).amax(1).reshape(-1, *(1,) * (maps.ndim - 1))


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 4, 5, 3)], ids=["2-D", "3-D"])
def test_saliency_of_a_linear_model_is_the_absolute_weight(shape):
    module = Linear(3, shape)
    model = subject(module, channels=shape[0], std=0.5) if shape[0] == 1 else subject(module, channels=2, std=0.5)
    outputs = torch.tensor([2, 0, 1, 1])
    found = saliency(model, draw(4, *shape), outputs, batch_size=3)
    torch.testing.assert_close(found, 2 * module.weight.abs().sum(1)[outputs].detach())


@pytest.mark.parametrize("dims", [2, 3])
def test_gradcam_of_a_linear_head_by_hand(dims):
    module, images = Tiny(dims), draw(5, 1, *(7, 6, 5)[:dims])
    outputs = torch.tensor([0, 1, 2, 2, 0])
    maps = module.conv(images)
    by_hand = torch.einsum("nc,nc...->n...", module.head.weight[outputs], maps).relu()
    torch.testing.assert_close(
        gradcam(subject(module, channels=1), images, outputs, batch_size=2), peak_one(by_hand).detach()
    )


def test_gradcam_reads_the_layer_before_an_activation_that_works_in_place():
    images, outputs = draw(3, 1, 8, 8) - 0.2, torch.tensor([0, 1, 2])
    kept = Tiny(inplace=True)
    kept.act = nn.ReLU()
    found = gradcam(subject(Tiny(inplace=True), channels=1), images, outputs)
    torch.testing.assert_close(found, gradcam(subject(kept, channels=1), images, outputs))


@pytest.mark.filterwarnings("ignore:.*torch.tensor:UserWarning")
@pytest.mark.parametrize("name", ["module.body.0", "module.body.3"])
def test_gradcam_agrees_with_monai(name):
    images, module = draw(1, 3, 21, 17), Small().eval()
    for output in range(3):
        oracle = GradCAM(subject(module).eval(), target_layers=name, postprocessing=lambda x: x)
        raw = oracle.compute_map(images.clone().requires_grad_(), class_idx=output)
        enlarged = nn.functional.interpolate(raw, images.shape[2:], mode="bilinear")[:, 0]
        found = gradcam(subject(module), images, torch.tensor([output]), layer=name)
        torch.testing.assert_close(found, peak_one(enlarged).nan_to_num().detach(), rtol=1e-4, atol=1e-5)


def test_maps_have_the_size_of_the_image_when_the_model_resizes_inside():
    model = subject(Small(), size=24)
    images, outputs = draw(3, 1, 40, 50), torch.tensor([0, 1, 2])
    for maps in (gradcam(model, images, outputs), saliency(model, images, outputs)):
        assert maps.shape == (3, 40, 50)
        assert (maps >= 0).all()
    assert (gradcam(model, images, outputs).flatten(1).amax(1) - 1).abs().max() < 1e-6


def test_the_map_follows_the_object():
    module = Tiny()
    with torch.no_grad():
        module.conv.weight.fill_(1)
        module.conv.bias.zero_()
        module.head.weight.fill_(1)
    images = torch.zeros(1, 1, 16, 16)
    images[..., 3:6, 9:12] = 1
    for explain in (gradcam, lambda *given: saliency(*given) * images[:, 0]):
        row, column = divmod(int(explain(subject(module, channels=1), images, torch.tensor([0])).argmax()), 16)
        assert 3 <= row <= 5
        assert 9 <= column <= 11


def test_nothing_for_the_output_is_zero_everywhere():
    module = Tiny()
    with torch.no_grad():
        module.conv.weight.abs_()
        module.conv.bias.abs_()
        module.head.weight.copy_(-module.head.weight.abs())
    assert not gradcam(subject(module, channels=1), draw(2, 1, 6, 6), torch.tensor([0, 1])).any()


@pytest.mark.parametrize("explain", [gradcam, saliency])
def test_nothing_is_left_on_the_model_or_the_images(explain):
    model = subject(Small()).train()
    images = draw(3, 3, 20, 20)
    before, copies = images.clone(), {name: value.clone() for name, value in model.state_dict().items()}
    found = explain(model, images, torch.tensor([0, 1, 2]), batch_size=2)
    assert model.training
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(torch.equal(copies[name], value) for name, value in model.state_dict().items())
    assert all(not module._forward_hooks for module in model.modules())
    assert torch.equal(images, before)
    assert not images.requires_grad
    assert not found.requires_grad


@pytest.mark.parametrize("explain", [gradcam, saliency])
def test_an_image_is_explained_alike_alone_and_in_a_batch(explain):
    model, images, outputs = subject(Small()), draw(5, 3, 20, 20), torch.tensor([0, 1, 2, 0, 1])
    alone = torch.cat([explain(model, images[[row]], outputs[[row]]) for row in range(5)])
    torch.testing.assert_close(explain(model, images, outputs, batch_size=2), alone, rtol=1e-4, atol=1e-6)
    assert explain(model, images[:0], outputs[:0]).shape == (0, 20, 20)


@pytest.mark.parametrize(
    ("network", "name"), [("mobilenetv3_small_050", "module.blocks"), ("resnet18", "module.layer4")]
)
def test_the_last_map_is_the_last_stage_that_sees_places(network, name):
    """The head of a MobileNetV3 convolves after global pooling; a residual stage ends in a sum, not a convolution."""
    assert last_map(subject(timm.create_model(network, num_classes=3)), draw(1, 1, 64, 64))[0] == name


def test_the_last_map_of_a_volume():
    assert last_map(subject(Tiny(3), channels=1), draw(2, 1, 5, 5, 5))[0] == "module.act"


def test_the_order_is_that_of_execution():
    class Reversed(nn.Module):
        def __init__(self):
            super().__init__()
            self.late, self.early = nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, 3)

        def forward(self, images):
            return self.late(self.early(images)).flatten(2).mean(2).expand(-1, 3)

    assert last_map(subject(Reversed(), channels=1), draw(1, 1, 9, 9))[0] == "module.late"


def test_refuses_a_model_without_a_map():
    dense = subject(nn.Sequential(nn.Flatten(), nn.Linear(16, 3)), channels=1)
    with pytest.raises(
        InputError, match=r"Sequential has no convolution that sees more .* its layers are Flatten, Lin"
    ):
        gradcam(dense, draw(1, 1, 4, 4), torch.tensor([0]))
    pooled = subject(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Conv2d(1, 3, 1), nn.Flatten()), channels=1)
    with pytest.raises(InputError, match="its layers are AdaptiveAvgPool2d, Conv2d, Flatten"):
        last_map(pooled, draw(1, 1, 4, 4))


def test_refuses_unknown_layers_and_outputs():
    model, images = subject(Tiny(), channels=1), draw(2, 1, 4, 4)
    with pytest.raises(
        InputError, match=r"layer must be a module of Tiny, got 'module\.con', did you mean 'module\.conv"
    ):
        gradcam(model, images, torch.tensor([0, 1]), layer="module.con")
    for wrong in ([0, 3], [-1, 0], [0]):
        with pytest.raises(InputError, match=r"outputs must lie in 0\.\.2, one for each of 2 images, got \["):
            saliency(model, images, torch.tensor(wrong))


def test_decided_is_the_output_highest_above_its_operating_point():
    module = Linear(3, (1, 2, 2))
    images = draw(20, 1, 2, 2)
    logits = module(images)
    assert torch.equal(decided(subject(module, channels=1), images, batch_size=6), logits.argmax(1))
    model = Subject(module, task="multilabel", classes=CLASSES, channels=1)
    assert torch.equal(decided(model, images), logits.argmax(1))
