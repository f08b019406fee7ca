"""Grad-CAM++, integrated gradients and occlusion against derivatives, closed forms and other libraries."""

import itertools

import pytest
import torch
from monai.visualize import GradCAMpp
from torch import nn

import aseptic
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.explain.base import decided
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.explain.gradcam import gradcam
from aseptic.explain.gradcampp import gradcampp
from aseptic.explain.integrated_gradients import BASELINES, contributions, integrated_gradients, without_content
from aseptic.explain.occlusion import occlusion
from aseptic.models.subject import Subject
from aseptic.studies.yardsticks.decisions import COMPARED

CLASSES = ("a", "b", "c")


def draw(*shape, name="x"):
    return torch.rand(shape, generator=stream(0, name))


class Rectified(nn.Module):
    """A convolution, a ReLU, and a linear layer on its places or on their mean."""

    def __init__(self, places, *, dims=2, pooled=False):
        super().__init__()
        self.conv = (nn.Conv2d, nn.Conv3d)[dims - 2](1, 4, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.AdaptiveAvgPool2d(1) if pooled else nn.Identity()
        self.head = nn.Linear(4 if pooled else 4 * places, 3)
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(draw(*parameter.shape, name=name) - 0.4)

    def forward(self, images):
        return self.head(self.pool(self.act(self.conv(images))).flatten(1))


class Curved(nn.Module):
    """A smooth network whose gradient differs along the way."""

    def __init__(self, pixels):
        super().__init__()
        self.weight = nn.Parameter(draw(3, pixels, name="curved") - 0.5)

    def forward(self, images):
        return torch.tanh(images.flatten(1) @ self.weight.T).cumsum(1)


def subject(module, channels=1, **facts):
    return Subject(module.eval(), task="multiclass", classes=CLASSES, channels=channels, **facts)


def peak_one(maps):
    return maps / maps.flatten(1).amax(1).clamp(min=1e-30).reshape(-1, *(1,) * (maps.ndim - 1))


@pytest.mark.parametrize("dims", [2, 3])
def test_gradcampp_weighs_places_by_second_and_third_derivatives(dims):
    """The paper's alphas, equation 10, from derivatives of exp(z): of single activations, taken by autograd."""
    space = (4, 3, 2)[:dims]
    module, images = Rectified(torch.Size(space).numel(), dims=dims), draw(2, 1, *space)
    outputs = torch.tensor([0, 2])
    maps = module.act(module.conv(images)).detach()
    expected = torch.zeros(2, 4, *space)
    for image, output in enumerate(outputs):
        own = maps[image : image + 1].clone()
        for place in itertools.product(*map(range, own.shape[1:])):
            one = own[0][place].clone().requires_grad_()
            mask = torch.zeros_like(own)
            mask[0][place] = 1
            score = module.head((own * (1 - mask) + mask * one).flatten(1))[0, output].exp()
            (first,) = torch.autograd.grad(score, one, create_graph=True)
            (second,) = torch.autograd.grad(first, one, create_graph=True)
            (third,) = torch.autograd.grad(second, one)
            alpha = second / (2 * second + own[0, place[0]].sum() * third)
            expected[image][place] = alpha * first.relu()
    weights = expected.flatten(2).sum(2)
    by_hand = torch.einsum("nc,nc...->n...", weights, maps).relu()
    found = gradcampp(subject(module), images, outputs, layer="module.act")
    torch.testing.assert_close(found, peak_one(by_hand).detach(), rtol=1e-3, atol=1e-5)


@pytest.mark.filterwarnings("ignore:.*torch.tensor:UserWarning")
def test_gradcampp_agrees_with_monai_where_the_head_sees_the_mean():
    """There the gradient is the same at every place, and MONAI's sum over them is the paper's."""
    images, module, kept = draw(1, 1, 3, 4), Rectified(0, pooled=True), Rectified(0, pooled=True)
    with torch.no_grad():
        for one in (module, kept):
            one.head.weight.mul_(20)  # next to which MONAI's epsilon of 1e-7 is nothing
    kept.act = nn.ReLU()  # MONAI's hooks refuse one in place
    for output in range(3):
        oracle = GradCAMpp(subject(kept), target_layers="module.act", postprocessing=lambda x: x)
        raw = oracle.compute_map(images.clone().requires_grad_(), class_idx=output)[:, 0]
        found = gradcampp(subject(module), images, torch.tensor([output]), layer="module.act")
        torch.testing.assert_close(found, peak_one(raw).detach(), rtol=1e-3, atol=1e-4)


def test_gradcampp_of_equal_channels_looks_where_gradcam_looks():
    module = Rectified(0, pooled=True)
    with torch.no_grad():
        module.head.weight.fill_(0.3)
        module.conv.weight.copy_(module.conv.weight[:1].abs().expand(4, -1, -1, -1))
        module.conv.bias.zero_()
    images, outputs = draw(3, 1, 8, 8), torch.tensor([0, 1, 2])
    alike = [explain(subject(module), images, outputs) for explain in (gradcam, gradcampp)]
    torch.testing.assert_close(*alike)


def test_gradcampp_refuses_a_layer_that_gives_no_map():
    model, images = subject(Rectified(0, pooled=True)), draw(1, 1, 6, 6)
    with pytest.raises(
        InputError, match=r"layer 'module.head' must give a map of features with 2 space axes, got \[1, 3\]"
    ):
        gradcampp(model, images, torch.tensor([0]), layer="module.head")
    model.module.spare = nn.Conv2d(1, 1, 1)
    with pytest.raises(InputError, match=r"layer 'module\.spare' must give .*, got nothing"):
        gradcampp(model, images, torch.tensor([0]), layer="module.spare")


@pytest.mark.parametrize("shape", [(2, 5, 6), (1, 4, 5, 3)], ids=["2-D", "3-D"])
@pytest.mark.parametrize("baseline", BASELINES)
def test_contributions_add_up_to_the_rise_of_the_logit(shape, baseline):
    model, images = subject(Curved(torch.Size(shape).numel()), channels=shape[0]), draw(5, *shape)
    outputs = torch.tensor([0, 1, 2, 1, 0])
    found = contributions(model, images, outputs, baseline=baseline, steps=24, batch_size=3)
    with torch.no_grad():
        rise = (model(images) - model(without_content(images, baseline))).gather(1, outputs[:, None])[:, 0]
    torch.testing.assert_close(found.flatten(1).sum(1), rise, rtol=1e-4, atol=1e-5)
    maps = integrated_gradients(model, images, outputs, baseline=baseline, steps=24)
    torch.testing.assert_close(maps, found.sum(1).relu(), rtol=1e-4, atol=1e-6)


def test_contributions_of_a_linear_model_are_weight_times_change():
    module = nn.Sequential(nn.Flatten(), nn.Linear(12, 3))
    images, outputs = draw(2, 1, 3, 4), torch.tensor([2, 0])
    found = contributions(subject(module), images, outputs, baseline="black", steps=1)
    by_hand = module[1].weight[outputs].reshape(2, 1, 3, 4) * images
    torch.testing.assert_close(found, by_hand.detach(), rtol=1e-4, atol=1e-6)
    assert contributions(subject(module), images[:0], outputs[:0]).shape == (0, 1, 3, 4)


def test_images_without_content():
    flat, images = torch.full((1, 1, 30, 20), 0.7), draw(2, 3, 40, 30)
    torch.testing.assert_close(without_content(flat, "blur"), flat)
    assert without_content(images, "blur").std() < images.std() / 2
    torch.testing.assert_close(without_content(images, "mean")[1, 2, 5, 5], images[1, 2].mean())
    assert not without_content(images, "black").any()
    small = draw(1, 1, 3, 3)
    torch.testing.assert_close(without_content(small, "blur"), small)


@pytest.mark.parametrize("space", [(16, 12), (8, 7, 6)], ids=["2-D", "3-D"])
def test_occlusion_of_a_linear_model_by_hand(space):
    module = nn.Sequential(nn.Flatten(), nn.Linear(2 * torch.Size(space).numel(), 3))
    images, outputs = draw(3, 2, *space), torch.tensor([1, 0, 2])
    shared = module[1].weight[outputs].reshape(images.shape) * (images - 0.5)
    window, stride = [[max(1, round(part * n)) for n in space] for part in (0.3, 0.2)]
    total, covered = torch.zeros(3, *space), torch.zeros(space)
    starts = [range(0, n - w + s, s) for n, w, s in zip(space, window, stride, strict=True)]
    for corner in itertools.product(*starts):
        box = tuple(slice(start, start + side) for start, side in zip(corner, window, strict=True))
        total[:, *box] += shared[:, :, *box].flatten(1).sum(1).reshape(-1, *(1,) * len(space))
        covered[box] += 1
    found = occlusion(subject(module, channels=2), images, outputs, window=0.3, stride=0.2, batch_size=7)
    torch.testing.assert_close(found, (total / covered).relu().detach(), rtol=1e-4, atol=1e-5)


def test_what_is_as_grey_as_the_box_is_not_seen():
    model, images = subject(nn.Sequential(nn.Flatten(), nn.Linear(64, 3))), torch.full((1, 1, 8, 8), 0.5)
    assert occlusion(model, images, torch.tensor([0])).max() < 1e-5
    assert occlusion(model, images, torch.tensor([0]), fill=0).max() > 1e-2


@pytest.mark.filterwarnings("ignore:.*non-full backward hook:FutureWarning")
@pytest.mark.parametrize("name", sorted(set(EXPLAINERS.names()) - {"gradcam-skipping"}))
def test_laws_of_every_explainer(name):
    explain = EXPLAINERS.load(name)
    module = Rectified(0, pooled=True)
    model = subject(module, size=(10, 9)).train()
    images, outputs = draw(3, 1, 12, 14), torch.tensor([0, 1, 2])
    before, weights = images.clone(), {key: value.clone() for key, value in model.state_dict().items()}
    found = explain(model, images, outputs, batch_size=2)
    assert found.shape == (3, 12, 14)
    assert (found >= 0).all()
    assert not found.requires_grad
    alone = torch.cat([explain(model, images[[row]], outputs[[row]]) for row in range(3)])
    torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-5)
    assert explain(model, images[:0], outputs[:0]).shape == (0, 12, 14)
    assert model.training
    assert torch.equal(images, before)
    assert all(torch.equal(weights[key], value) for key, value in model.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in model.parameters())
    assert all(not part._forward_hooks for part in model.modules())
    with pytest.raises(InputError, match=r"outputs must lie in 0\.\.2, one for each of 3 images, got \["):
        explain(model, images, outputs + 1)


def test_the_audit_compares_explainers_of_the_catalogue():
    assert set(COMPARED) <= set(EXPLAINERS.names())
    assert all(getattr(aseptic.explain, name) is not None for name in aseptic.explain.__all__)
    with pytest.raises(InputError, match=r"explainer must be .*; got 'grad-cam', did you mean 'gradcam'"):
        EXPLAINERS.load("grad-cam")


def test_refuses_settings_outside_their_range():
    model, images = subject(Rectified(0, pooled=True)), draw(1, 1, 8, 8)
    output = decided(model, images)
    with pytest.raises(InputError, match="baseline must be one of blur, mean, black; got 'white'"):
        integrated_gradients(model, images, output, baseline="white")
    with pytest.raises(InputError, match="steps must be at least 1, got 0"):
        integrated_gradients(model, images, output, steps=0)
    for window, stride in ((0.1, 0.2), (0.1, 0), (1.5, 0.5)):
        with pytest.raises(InputError, match=r"window and stride must lie in \(0, 1\], the stride no larger, got "):
            occlusion(model, images, output, window=window, stride=stride)
    with pytest.raises(InputError, match=r"fill must lie in \[0, 1\], got 2"):
        occlusion(model, images, output, fill=2)
