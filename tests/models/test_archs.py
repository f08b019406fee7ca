"""Networks by name: shapes, the same weights from the same seed, no download, messages."""

import socket

import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.models.archs import build, list_archs

CASES = [
    ("aseptic:smallcnn", 3, 32),
    ("aseptic:smallcnn?width=4&dropout=0.5", 1, (16, 24)),
    ("aseptic:smallcnn?width=4", 1, (16, 16, 16)),
    ("aseptic:smallcnn?spatial_dims=3", 1, None),
    ("timm:resnet18", 1, None),
    ("timm:resnet18.a1_in1k", 3, 64),
    ("timm:vit_tiny_patch16_224", 3, 32),
    ("torchvision:mobilenet_v3_small", 1, 32),
    ("torchvision:googlenet", 3, 64),
    ("torchvision:vit_b_32", 3, 64),
    ("monai:resnet10?spatial_dims=3", 1, None),
    ("monai:resnet10", 1, 32),
    ("monai:efficientnet-b0", 1, 32),
]


@pytest.fixture(autouse=True)
def _no_network(monkeypatch):
    def refuse(*_, **__):
        pytest.fail("an architecture reached for the network")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.parametrize(("arch", "channels", "size"), CASES)
def test_maps_images_to_logits(arch, channels, size):
    before = torch.get_rng_state()
    network = build(arch, outputs=5, channels=channels, size=size).eval()
    assert torch.equal(before, torch.get_rng_state()), "the caller's random state is not used"
    space = (size, size) if isinstance(size, int) else size or (32,) * (3 if "spatial_dims=3" in arch else 2)
    with torch.no_grad():
        assert network(torch.rand(2, channels, *space)).shape == (2, 5)


def test_the_seed_fixes_the_weights():
    weights = [build("aseptic:smallcnn", outputs=2, seed=seed).state_dict()["features.0.weight"] for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_lists_every_library():
    names = list_archs()
    assert list(names) == sorted(names)
    assert {
        "aseptic:covidnet",
        "aseptic:smallcnn",
        "timm:resnet18",
        "torchvision:resnet50",
        "monai:densenet121",
    } <= set(names)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("resnet18", r"must be one of aseptic:NAME, monai:NAME, .*got 'resnet18', did you mean 'timm:resnet18'\?"),
        ("keras:resnet", r"architecture must be one of aseptic:NAME"),
        ("torchvision:resnet_18", r"is not known to torchvision, did you mean 'resnet18'\?"),
        ("timm:hf-hub:someone/model", "is not known to timm"),
        ("torchvision:maskrcnn_resnet50_fpn", "is not known to torchvision"),
        (
            "aseptic:smallcnn?widht=3",
            r"must be one of: anchor, dropout, spatial_dims, width; got 'widht', did you mean 'width'",
        ),
        ("torchvision:resnet18?width=3", "must be one of: anchor, proposals; got 'width'"),
        ("aseptic:smallcnn?width=0", "option width must be a whole number of at least 1, got '0'"),
        ("aseptic:smallcnn?dropout=1", r"option dropout must be a number in \[0, 1\), got '1'"),
        ("monai:resnet10?spatial_dims=4", "option spatial_dims must be 2 or 3, got '4'"),
        ("timm:vgg11?drop_path_rate=0.1", "timm:vgg11.* cannot be built with 2 outputs, 3 channels, size any"),
    ],
)
def test_unknown_names_and_options(arch, message):
    with pytest.raises(InputError, match=message):
        build(arch, outputs=2)


@pytest.mark.parametrize(
    ("arch", "size", "message"),
    [
        ("timm:resnet18", (8, 8, 8), r"timm networks take images with 2 space axes, got size \[8, 8, 8\]"),
        ("monai:resnet10?spatial_dims=3", (8, 8), "spatial_dims is 3, but size has 2 axes"),
        ("aseptic:smallcnn", (8,), r"size must have 2 or 3 space axes, got \[8\]"),
        ("torchvision:vit_b_32", (32, 64), "takes square images"),
    ],
)
def test_sizes_that_do_not_fit(arch, size, message):
    with pytest.raises(InputError, match=message):
        build(arch, outputs=2, size=size)
