"""COVID-Net: counted and measured by hand, what its blocks see, and what it refuses."""

import math
from itertools import pairwise

import pytest
import torch
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.covidnet import CovidNet, Pepx, Stage
from aseptic.models.fitting import outputs_layers
from aseptic.models.randomness import seeded

SMALL = "aseptic:covidnet?width=8"


def unreal(**facts):
    """Return the network without numbers: shapes cost nothing."""
    with torch.device("meta"):
        return CovidNet(**facts)


def counted(channels, outputs, side):
    """Weights and two numbers of normalisation for each output of a convolution; weights and biases of dense layers."""

    def convolution(given, made, area=1):
        return given * made * area + 2 * made

    def block(given, made):
        half, more = given // 2, 3 * given // 4
        depthwise = 9 * more + 2 * more
        chain = convolution(given, half) + convolution(half, more) + depthwise
        return chain + convolution(more, half) + convolution(half, made)

    stages = (56, 56, 3), (56, 112, 4), (112, 216, 6), (216, 424, 3)
    total = convolution(channels, 56, 49)
    for given, made, blocks in stages:
        total += convolution(given, made) + block(given, made) + (blocks - 1) * block(made, made)
    widths = 424 * side**2, 1024, 256, outputs
    return total + sum((given + 1) * made for given, made in pairwise(widths))


def awake(network):
    """Fresh blocks give nothing yet; here they do."""
    for layer in network.modules():
        if isinstance(layer, Pepx):
            nn.init.ones_(layer[-1].weight)


@pytest.mark.parametrize(
    ("size", "side", "channels", "outputs"), [(480, 15, 3, 3), (224, 7, 3, 3), (96, 3, 1, 2), (64, 2, 3, 4)]
)
def test_as_many_parameters_as_the_layers_have_by_hand(size, side, channels, outputs):
    network = unreal(outputs=outputs, channels=channels, size=(size, size))
    assert sum(each.numel() for each in network.parameters()) == counted(channels, outputs, side)


def test_the_docstring_tells_the_counts():
    told = CovidNet.__doc__
    for side, shown in ((7, "23.0 million"), (15, "99.4 million")):
        assert f"{counted(3, 3, side) / 1e6:.1f} million" == shown
        assert shown in told
    assert f"{(15 * 15 * 424 + 1) * 1024 / 1e6:.1f} million" == "97.7 million"
    assert "97.7 million" in told


@pytest.mark.parametrize(
    ("size", "sides"), [((480, 480), (120, 60, 30, 15)), ((96, 96), (24, 12, 6, 3)), ((64, 101), (16, 8, 4, 2))]
)
def test_every_stage_has_its_shape(size, sides):
    network, found = CovidNet(outputs=3, channels=3, size=size, width=4).eval(), []
    for stage in network.stages:
        stage.register_forward_hook(lambda *given: found.append([*given[2].shape[1:3]]))
    with torch.no_grad():
        assert network(torch.zeros(1, 3, *size)).shape == (1, 3)
    assert found == [[*each] for each in zip((4, 8, 16, 32), sides, strict=True)]
    assert [len(stage.blocks) for stage in network.stages] == [3, 4, 6, 3]


def test_a_block_is_given_the_sum_of_all_before_it_in_the_stage():
    with seeded(0, "stage"):
        stage, made, given = Stage(8, 12, 4).eval(), [], []
    awake(stage)
    stage.path.register_forward_hook(lambda *seen: made.append(seen[2]))
    for block in stage.blocks:
        block.register_forward_hook(lambda *seen: made.append(seen[2]))
        block.register_forward_pre_hook(lambda *seen: given.append(seen[1][0]))
    features = torch.rand(2, 8, 5, 5, generator=stream(0))
    with torch.no_grad():
        whole = stage(features)
    assert torch.equal(given[0], features)
    for number, seen in enumerate(given[1:], 2):
        torch.testing.assert_close(seen, torch.stack(made[:number]).sum(0))
    torch.testing.assert_close(whole, torch.stack(made).sum(0))
    assert all(each.any() for each in made), "no part is nothing"


def test_a_fresh_stage_is_its_path():
    with seeded(0, "stage"):
        stage = Stage(8, 12, 4).eval()
    features = torch.rand(2, 8, 5, 5, generator=stream(0))
    with torch.no_grad():
        assert torch.equal(stage(features), stage.path(features))
        assert stage(features).any()


def test_only_the_middle_of_a_block_sees_neighbours_and_each_channel_its_own():
    with seeded(0, "block"):
        block = Pepx(16, 20)
    awake(block)
    layers = [each for each in block if isinstance(each, nn.Conv2d)]
    assert [each.kernel_size for each in layers] == [(1, 1), (1, 1), (3, 3), (1, 1), (1, 1)]
    assert [(each.in_channels, each.out_channels) for each in layers] == [(16, 8), (8, 12), (12, 12), (12, 8), (8, 20)]
    assert layers[2].groups == 12
    features = torch.rand(1, 16, 7, 7, generator=stream(0))
    changed = features.clone()
    changed[..., 3, 3] += 1
    with torch.no_grad():
        moved = (block.eval()(features) != block(changed))[0].any(0)
    inside = torch.zeros(7, 7, dtype=torch.bool)
    inside[2:5, 2:5] = True
    assert moved.any()
    assert not moved[~inside].any()


@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_reach_every_weight(channels):
    network = build(SMALL, outputs=3, channels=channels, size=64)
    awake(network)
    images = torch.rand(8, channels, 64, 64, generator=stream(0))
    network(images).logsumexp(1).sum().backward()
    for name, value in network.named_parameters():
        assert value.grad.isfinite().all(), name
        assert value.grad.any(), name


def test_learns_eight_images_by_heart():
    network = build("aseptic:covidnet?width=4", outputs=2, channels=1, size=32)
    images, labels = torch.rand(8, 1, 32, 32, generator=stream(0)), torch.arange(8) % 2
    losses = []
    for _ in range(30):
        network.zero_grad()
        losses.append(nn.functional.cross_entropy(network(images), labels))
        losses[-1].backward()
        with torch.no_grad():
            for value in network.parameters():
                value.sub_(0.1 * value.grad)
    assert losses[-1] < 0.25 * losses[0]


def test_the_seed_fixes_the_weights():
    first, same, other = (build(SMALL, outputs=2, size=64, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], same[name]) for name in first)
    assert not torch.equal(first["stem.0.weight"], other["stem.0.weight"])


@pytest.mark.parametrize(
    ("width", "widths"), [(56, (56, 112, 216, 424)), (28, (28, 56, 108, 212)), (4, (4, 8, 16, 32))]
)
def test_widths_are_in_proportion(width, widths):
    network = unreal(outputs=3, channels=3, size=(96, 96), width=width)
    assert tuple(stage.path[0].out_channels for stage in network.stages) == widths
    dense = [each for each in network.dense if isinstance(each, nn.Linear)]
    assert [each.out_features for each in dense] == [round(1024 * width / 56), round(256 * width / 56)]
    assert dense[0].in_features == 9 * widths[-1]


def test_its_head_is_the_last_dense_layer():
    assert outputs_layers(SMALL, outputs=3, channels=3, size=(64, 64)) == {"head"}


@pytest.mark.parametrize(
    ("arch", "size", "message"),
    [
        ("aseptic:covidnet", 31, r"size must be at least 32 along each axis for COVID-Net, got \[31, 31\]"),
        ("aseptic:covidnet", None, "size must be given for aseptic:covidnet, whose first dense layer sees every place"),
        ("aseptic:covidnet", (64, 64, 64), "aseptic:covidnet networks take images with 2 space axes, got size"),
        ("aseptic:covidnet?width=6", 64, "option width of COVID-Net must be a multiple of 4, got 6"),
        ("aseptic:covidnet?dropout=0.5", 64, "option dropout cannot be given to aseptic:covidnet"),
        ("aseptic:covidnet?anchor=8", 64, "option anchor is for aseptic:smallretina, got aseptic:covidnet"),
    ],
)
def test_what_does_not_fit(arch, size, message):
    with pytest.raises(InputError, match=message):
        build(arch, outputs=3, size=size)


def test_images_of_another_size_do_not_fit():
    network = build(SMALL, outputs=2, size=64).eval()
    assert math.prod((2, 2)) * 60 == network.dense[1].in_features
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        network(torch.zeros(1, 3, 96, 96))
