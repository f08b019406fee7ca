"""Torchvision's detectors as candidates: thresholds and suppression must give back torchvision's own detections."""

import pytest
import torch
from detecting import objects
from nets import answers, pictures
from torch import nn
from torchvision.models.detection import FasterRCNN, RetinaNet
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.ops import MultiScaleRoIAlign

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.archs import build, list_archs
from aseptic.models.detectors import NEVER, ProposalCandidates, RetinaCandidates
from aseptic.models.subject import Subject
from aseptic.models.training import new_subject
from aseptic.ops.gradients import input_gradient

NAMES = ["red", "white", "platelet"]


class Tiny(nn.Module):
    """Two convolutions, a 4th of the image."""

    out_channels = 8

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.Tanh(), nn.Conv2d(8, 8, 3, 2, 1), nn.Tanh())

    def forward(self, images):
        return {"0": self.layers(images)}


def settle(network, seed=0, scale=0.5):
    rng = stream(seed, "weights")
    for parameter in network.parameters():
        parameter.data = scale * torch.randn(parameter.shape, generator=rng) / max(1, parameter[0].numel()) ** 0.5
    return network.eval()


ANCHORS = AnchorGenerator(((8, 16),), ((0.5, 1.0),))
PLAIN = {"min_size": 32, "max_size": 64, "image_mean": [0.0] * 3, "image_std": [1.0] * 3}
"""Settings with which torchvision leaves images of 32 x 64 as they are."""


def retina():
    """Return a RetinaNet; its own postprocessing has no threshold to speak of."""
    network = RetinaNet(Tiny(), 3, anchor_generator=ANCHORS, score_thresh=0.5, detections_per_img=100, **PLAIN)
    settle(network, scale=1.5)
    network.head.classification_head.cls_logits.bias.data -= 3
    return network


def faster():
    pool = MultiScaleRoIAlign(["0"], 4, 2)
    network = FasterRCNN(
        Tiny(), None, rpn_anchor_generator=ANCHORS, box_roi_pool=pool, rpn_post_nms_top_n_test=20,
        box_head=nn.Sequential(nn.Flatten(), nn.Linear(128, 16), nn.Tanh()), box_predictor=Predictor(),
        box_score_thresh=0.5, rpn_pre_nms_top_n_test=40, **PLAIN,
    )  # fmt: skip
    return settle(network, scale=2.0)


class Predictor(nn.Module):
    def __init__(self):
        super().__init__()
        self.scores, self.moves = nn.Linear(16, 4), nn.Linear(16, 16)

    def forward(self, found):
        return self.scores(found), self.moves(found) / 3


@pytest.mark.parametrize(("make", "shift"), [(retina, 0), (faster, 1)], ids=["retinanet", "fasterrcnn"])
def test_decisions_are_torchvisions_own(make, shift):
    """With its threshold at one half and its overlap at one half, torchvision says the same."""
    network, images = make(), pictures((12, 3, 32, 64), seed=2)
    with torch.no_grad():
        expected = network(list(images))
    subject = Subject(network, task="detection", classes=NAMES)
    found = subject.task.detections(answers(subject, images), decided=True)
    assert 6 < sum(len(one["boxes"]) for one in expected) < 1200, "there must be something to compare"
    for rows, theirs in zip(found, expected, strict=True):
        mine = rows[rows[:, 0] >= 0]
        order = theirs["scores"].argsort(descending=True, stable=True)
        assert len(mine) == len(order)
        torch.testing.assert_close(mine[:, 5], theirs["scores"][order], atol=1e-5, rtol=0)
        torch.testing.assert_close(mine[:, 1:5], theirs["boxes"][order], atol=1e-3, rtol=0)
        assert mine[:, 0].tolist() == (theirs["labels"][order] - shift).tolist()


@pytest.mark.parametrize("make", [retina, faster])
def test_the_training_loss_is_torchvisions_own(make):
    network, images = make().train(), pictures((2, 3, 32, 64))
    targets = objects([(0, 2, 3, 12, 20), (2, 20, 5, 36, 25)], [])
    shift = 0 if isinstance(network, RetinaNet) else 1
    theirs = [{"boxes": one[one[:, 0] >= 0, 1:], "labels": one[one[:, 0] >= 0, 0].long() + shift} for one in targets]
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        expected = sum(network(list(images), theirs).values())
    subject = Subject(network, task="detection", classes=NAMES)
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(3)
        torch.empty(len(images)).uniform_()  # torchvision draws a size for each image
        found = subject.native_loss(images, targets)
    torch.testing.assert_close(found, expected)
    found.backward()
    assert all(part.grad is not None for part in subject.parameters() if part.requires_grad)


def test_retinanet_keeps_the_likeliest_candidates():
    network, images = retina(), pictures((2, 3, 32, 64))
    whole, few = (RetinaCandidates(network, most=most) for most in (10_000, 50))
    with torch.no_grad():
        every, kept = whole(images), few(images)
    assert every.shape == (2, 7, 8 * 16 * 4)
    assert kept.shape == (2, 7, 50)
    for image in range(2):
        best = every[image, :3].amax(0).topk(50).indices.sort().values
        torch.testing.assert_close(kept[image], every[image][:, best])
    inside = every[:, 3:]
    assert (inside >= 0).all()
    assert (inside[:, ::2] <= 64).all()
    assert (inside[:, 1::2] <= 32).all()


def test_faster_rcnn_fills_up_to_a_fixed_number():
    """On a picture of little size the first stage proposes less than it may."""
    network = ProposalCandidates(faster())
    with torch.no_grad():
        found = network(pictures((3, 3, 16, 16)))
    assert found.shape == (3, 7, 20 * 3)
    logits = found[:, :3].reshape(3, 3, 20, 3)
    apart = ~torch.eye(3, dtype=torch.bool)[:, None].expand(3, 20, 3)
    assert (logits[:, apart] == NEVER).all(), "a candidate is of one class"
    absent = (logits == NEVER).all(1)
    assert absent.any()
    corners = found[:, 3:].reshape(3, 4, 20, 3)
    assert ((corners[:, 2:] - corners[:, :2]).amin(1)[absent] < 0.01).all(), "what is no candidate has no area"
    real = ~absent
    assert real.any()
    own = logits.amax(1).sigmoid().where(real, torch.tensor(0.0)).sum(2)
    assert (own <= 1 + 1e-5).all(), "the scores of one proposal are a softmax without the background"


@pytest.mark.parametrize("make", [retina, faster])
def test_is_differentiable_in_the_image_alone(make):
    subject = Subject(make(), task="detection", classes=NAMES)
    images = pictures((2, 3, 32, 64))
    _, gradient = input_gradient(subject, lambda logits: logits[:, :3].flatten(1).amax(1), images)
    assert (gradient.flatten(1).abs().amax(1) > 0).all()
    assert all(part.grad is None for part in subject.parameters())
    modes = {name: part.training for name, part in subject.named_modules()}
    answers(subject, images)
    assert {name: part.training for name, part in subject.named_modules()} == modes


def test_boxes_are_in_pixels_of_the_image_that_was_given():
    network, images = retina(), pictures((2, 3, 64, 60))
    fed = Subject(network, task="detection", classes=NAMES, size=(32, 40), mean=0.5, std=0.25)
    found, inner = answers(fed, images), answers(fed.module, fed.prepare(images))
    torch.testing.assert_close(found[:, :3], inner[:, :3])
    torch.testing.assert_close(found[:, 3:], inner[:, 3:] * torch.tensor([1.5, 2, 1.5, 2])[:, None])
    targets = objects([(0, 3, 8, 30, 40)], [(1, 0, 0, 15, 16)])
    scaled = torch.cat([targets[..., :1], targets[..., 1:] / torch.tensor([1.5, 2, 1.5, 2])], 2)
    torch.testing.assert_close(fed.native_loss(images, targets), fed.module.training_loss(fed.prepare(images), scaled))


ARCHS = {
    "aseptic:smallretina?width=16&anchor=8": 64,
    "torchvision:retinanet_resnet18_fpn": 64,
    "torchvision:retinanet_mobilenet_v3_small_fpn?anchor=16": 64,
    "torchvision:fasterrcnn_mobilenet_v3_small_fpn?proposals=8": 64,
}


@pytest.mark.parametrize("arch", sorted(ARCHS))
@pytest.mark.parametrize("channels", [1, 3])
def test_by_name(arch, channels):
    subject = new_subject(arch, task="detection", classes=NAMES, size=ARCHS[arch], channels=channels, seed=1)
    again = new_subject(arch, task="detection", classes=NAMES, size=ARCHS[arch], channels=channels, seed=1)
    assert all(torch.equal(*pair) for pair in zip(subject.parameters(), again.parameters(), strict=True))
    images = pictures((2, channels, 64, 64))
    loss = subject.native_loss(images, objects([(0, 4, 4, 30, 30)], [(2, 10, 8, 60, 50)]))
    loss.backward()
    assert loss.isfinite()
    found = answers(subject.eval(), images)
    subject.task.check_shape(images, found)
    assert found.isfinite().all()
    assert arch.partition("?")[0] in list_archs()


def test_torchvisions_weight_files_have_the_same_names():
    from torchvision.models.detection import fasterrcnn_resnet50_fpn, retinanet_resnet50_fpn  # noqa: PLC0415 - slow

    for make, name, outputs in ((retinanet_resnet50_fpn, "retinanet", 4), (fasterrcnn_resnet50_fpn, "fasterrcnn", 4)):
        theirs = make(weights=None, weights_backbone=None, num_classes=outputs).state_dict()
        ours = build(f"torchvision:{name}_resnet50_fpn", outputs=outputs - (name == "fasterrcnn")).state_dict()
        assert {key: value.shape for key, value in theirs.items()} == {key: value.shape for key, value in ours.items()}


@pytest.mark.parametrize(
    ("arch", "match"),
    [
        ("aseptic:smallretina?width=20", "option width of aseptic:smallretina must be a multiple of 8, got 20"),
        ("aseptic:smallretina?dropout=0.1", "option dropout cannot be given to aseptic:smallretina"),
        ("aseptic:smallcnn?anchor=8", "option anchor is for aseptic:smallretina, got aseptic:smallcnn"),
        ("torchvision:resnet18?anchor=8", "option anchor is for detectors, got torchvision:resnet18"),
        ("torchvision:retinanet_resnet19_fpn", "not known to torchvision.*resnet18_fpn"),
    ],
)
def test_refuses_options(arch, match):
    with pytest.raises(InputError, match=match):
        build(arch, outputs=3, size=64)


def test_refuses_what_is_no_detector():
    plain = Subject(nn.Conv2d(3, 7, 1), task="detection", classes=NAMES)
    with pytest.raises(InputError, match="that is trained must be a RetinaNet or a Faster R-CNN, got Conv2d"):
        plain.native_loss(pictures((1, 3, 8, 8)), objects([(0, 0, 0, 4, 4)]))
