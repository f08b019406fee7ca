"""What training a segmentation adds: masks that move with their images, Dice as the score, U-Nets that fit."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import pictures
from segmenting import EDGE, Threshold, blobs, unet

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.augment import augment
from aseptic.models.judging import check_judge, judge
from aseptic.models.load import load_model
from aseptic.models.preflight import preflight
from aseptic.models.save import save_model
from aseptic.models.skill import dice_skill
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.tasks.make import make_task

TASK = make_task("segmentation", ["background", "organ", "lesion"])


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 1000), space=st.sampled_from([(12, 16), (8, 12, 10)]))
def test_masks_move_with_their_images(seed, space):
    masks = torch.randint(0, 3, (6, *space), generator=stream(seed, "masks"))
    images = masks[:, None] / 2.0
    found, moved = augment(images, TrainConfig(shift=0.3, brightness=0.0), stream(seed), masks)
    assert torch.equal(found[:, 0] * 2, moved.float())
    assert not torch.equal(moved, masks)
    without, none = augment(images, TrainConfig(shift=0.3, brightness=0.0), stream(seed))
    assert none is None
    assert torch.equal(without, found), "masks draw nothing of their own"


def test_brightness_leaves_masks_alone():
    masks = torch.randint(0, 3, (6, 8, 8), generator=stream(0))
    config = TrainConfig(flip=False, shift=0.0, brightness=0.5)
    found, moved = augment(masks[:, None] / 2.0, config, stream(1), masks)
    assert torch.equal(moved, masks)
    assert not torch.equal(found[:, 0] * 2, masks.float())


def test_the_score_is_the_mean_dice_of_the_structures_whatever_the_batches():
    logits = torch.randn((7, 3, 6, 6), generator=stream(0))
    masks = torch.randint(0, 3, (7, 6, 6), generator=stream(1))
    decided, truth = logits.argmax(1).numpy(), masks.numpy()
    dices = [
        [2 * ((d == k) & (t == k)).sum() / ((d == k).sum() + (t == k).sum()) for k in (1, 2)]
        for d, t in zip(decided, truth, strict=True)
    ]
    whole = judge(TASK, [(logits, masks)])
    parts = judge(TASK, [(logits[:3], masks[:3]), (logits[3:], masks[3:])])
    assert whole.score == pytest.approx(np.mean(dices), abs=1e-6)
    assert parts.score == pytest.approx(whole.score, abs=1e-6)
    assert parts.loss == pytest.approx(float(TASK.loss(logits, masks).mean()), abs=1e-6)
    assert whole.finite
    assert whole.offsets == ()
    logits[0, 0, 0, 0] = torch.nan
    assert not judge(TASK, [(logits, masks)]).finite


def test_the_score_of_classes_is_their_auroc():
    logits, targets = torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 1.5], [0.0, 3.0]]), torch.tensor([0, 1, 0, 1])
    found = judge(make_task("multiclass", ["a", "b"]), [(logits[:1], targets[:1]), (logits[1:], targets[1:])])
    assert found.score == pytest.approx(1.0)
    assert found.offsets == (0.0, pytest.approx(0.75))


@pytest.mark.parametrize(
    ("validation", "training", "message"),
    [
        (
            torch.tensor([[[0, 1]]]),
            torch.tensor([[[0, 1]]]),
            "training masks must show every class .* none of 'lesion'",
        ),
        (
            torch.tensor([[[0, 0]]]),
            torch.tensor([[[0, 1], [2, 1]]]),
            "validation masks must show at least one",
        ),
        (torch.tensor([[[0, 3]]]), torch.tensor([[[0, 1], [2, 1]]]), r"targets must lie in 0\.\.2, got 0\.\.3"),
    ],
)
def test_masks_that_cannot_teach_or_judge(validation, training, message):
    with pytest.raises(InputError, match=message):
        check_judge(TASK, [validation], [training])


@pytest.mark.parametrize("name", ["attentionunet", "basicunet", "unet"])
@pytest.mark.parametrize("size", [(32, 48), (32, 32, 32)])
def test_unets_answer_for_every_place(name, size):
    arch = f"monai:{name}?width=4&dropout=0.1"
    network = build(arch, outputs=3, channels=1, size=size).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 1, *size)).shape == (2, 3, *size)
    again = build(arch, outputs=3, channels=1, size=size).state_dict()
    assert all(torch.equal(value, again[key]) for key, value in network.state_dict().items())
    wider = build(arch.replace("width=4", "width=8"), outputs=3, channels=1, size=size)
    assert sum(p.numel() for p in wider.parameters()) > 2 * sum(p.numel() for p in network.parameters())


@pytest.mark.parametrize(
    ("arch", "size", "message"),
    [
        ("monai:unet?depth=4", (30, 32), r"size must be a multiple of 8 along each axis .* depth=4, got \[30, 32\]"),
        ("monai:unet?depth=4", (8, 8), r"size must be at least 16 along an axis for monai:unet, got \[8, 8\]"),
        ("monai:basicunet", (16, 16), r"size must be at least 32 along an axis for monai:basicunet, got \[16, 16\]"),
        ("monai:basicunet?depth=3", (64, 64), "option depth cannot be given to monai:basicunet, which has 5 levels"),
        ("monai:resnet10?width=4", (32, 32), "option width is for the U-Nets attentionunet, .*; got monai:resnet10"),
    ],
)
def test_unets_that_do_not_fit(arch, size, message):
    with pytest.raises(InputError, match=message):
        build(arch, outputs=2, channels=1, size=size)


def test_a_segmentation_is_saved_and_loaded(tmp_path):
    network = build("monai:unet?width=4&depth=2", outputs=2, channels=1, size=(16, 16)).eval()
    facts = {"task": "segmentation", "classes": ["background", "organ"], "channels": 1, "size": 16}
    subject = Subject(network, **facts, architecture="monai:unet?width=4&depth=2")
    save_model(subject, tmp_path)
    images = torch.rand((2, 1, 20, 20), generator=stream(0))
    with torch.no_grad():
        assert torch.equal(load_model(tmp_path)(images), subject(images))


def checks(model, images, truth):
    return {one.name: one for one in preflight(model, images, truth, seed=0)}


def test_a_good_segmentation_passes_every_check():
    model, images, truth = unet((16, 16))
    found = checks(model, images, truth)
    assert {one.status for one in found.values()} == {"ok"}
    assert found["scale"].evidence["measure"] == "mean Dice"


class Swapped(torch.nn.Module):
    """Answers a good network's question with the classes in another order."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network(images).flip(1)


def test_classes_in_the_wrong_order_are_noticed():
    model, *_ = unet((16, 16))
    images, truth = blobs((16, 16), 24)
    wrong = Subject(Swapped(model.module), task="segmentation", classes=["background", "lesion"], channels=1).eval()
    found = checks(wrong, images, truth)["class_order"]
    assert found.status == "warning"
    assert found.evidence["better_order"] == ["lesion", "background"]
    assert "lies on the masks of" in found.sentence


def test_another_range_of_grey_is_noticed():
    images = 0.1 + 0.8 * pictures((24, 1, 8, 8))
    facts = {"task": "segmentation", "classes": ["background", "organ"], "channels": 1}
    truth = (images[:, 0] > EDGE).long()
    assert checks(Subject(Threshold(), **facts).eval(), images, truth)["scale"].status == "ok"
    found = checks(Subject(Threshold(), **facts, std=1 / 255).eval(), images, truth)["scale"]
    assert found.status == "warning"
    assert "The mean Dice is" in found.sentence


def test_probabilities_of_places_are_refused():
    model, images, truth = unet((16, 16))
    network = torch.nn.Sequential(model.module, torch.nn.Softmax(1))
    wrong = Subject(network, task="segmentation", classes=["background", "lesion"], channels=1).eval()
    found = checks(wrong, images, truth)["logits"]
    assert found.status == "refused"
    assert "each place sums to 1" in found.sentence


def test_the_error_of_a_mean_dice_is_that_of_a_mean():
    each = torch.tensor([0.2, 0.4, torch.nan, 0.9])
    found = dice_skill(each)
    assert found.value == pytest.approx(0.5)
    assert found.error == pytest.approx(np.std([0.2, 0.4, 0.9], ddof=1) / 3**0.5)
    assert np.isnan(dice_skill(each[2:3]).value)
