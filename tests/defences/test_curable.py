"""What can be cured: the units of a network, its quality on clean images, and everything that is refused."""

import pytest
import timm
import torch
from nets import net, pictures, segnet
from planted_unit import CLASSES, clean, planted
from torch import nn

from aseptic.core.errors import InputError
from aseptic.data.base import Box
from aseptic.data.matching import match_classes
from aseptic.data.memory import memory_set
from aseptic.defences import ANP, DEFENCES, FinePruning, FineTuning, make_defence
from aseptic.defences.neurons import quality, units_of
from aseptic.models.guard import fingerprint
from aseptic.models.subject import Subject
from aseptic.models.training import new_subject


def test_quality_is_that_of_the_task():
    data, findings = clean(30), clean(30, "multilabel")
    model = planted()
    with torch.no_grad():
        model.module.head.bias[0] += 50
    assert quality(model, data, 7) == pytest.approx(1 / 3), "the mean of the classes' shares"
    both = planted("multilabel")
    assert quality(both, findings, 7) == 1
    seg, images = segnet(), pictures((5, 1, 8, 8))
    with torch.no_grad():
        masks = seg(images).argmax(1)
    masks[:, :2] = 0
    truth = memory_set("masks", images, classes=("a", "b", "c"), task="segmentation", masks=masks)
    found, wanted = seg(images).argmax(1), []
    for row in range(5):
        dices = [
            2 * ((found[row] == k) & (masks[row] == k)).sum() / ((found[row] == k).sum() + (masks[row] == k).sum())
            for k in (1, 2)
        ]
        wanted.append(sum(map(float, dices)) / 2)
    assert quality(seg, truth, 2) == pytest.approx(sum(wanted) / 5, rel=1e-5)


def test_units_are_chosen_at_the_bottom_and_named_on_request():
    model = segnet()
    found = units_of(model, pictures((1, 1, 8, 8)), None)
    assert (found.name, found.count) == ("module.conv", 6)
    network = net()
    found = units_of(network, pictures((1, 1, 8, 8)), "module.conv")
    assert found.carrier is found.read is network.module.norm
    deep = nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.MaxPool2d(2), nn.Conv2d(2, 3, 1), nn.Conv2d(3, 5, 1),
        nn.Upsample(scale_factor=2), nn.Conv2d(5, 4, 1), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    unet = Subject(deep, task="segmentation", classes=["a", "b"], channels=1)
    assert units_of(unet, pictures((1, 1, 8, 8)), None).name == "module.3"


def test_a_normalisation_behind_a_sum_is_not_that_of_the_layer():
    """In a residual network of the pre-activation kind the next normalisation belongs to the sum, not to the layer."""

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.own = nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4)
            self.second, self.shared, self.head = nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.Linear(4, 3)

        def forward(self, images):
            start = self.own(self.first(images))
            return self.head(self.shared(start + self.second(start)).mean((2, 3)))

    model = Subject(Sum().eval(), task="multiclass", classes=CLASSES, channels=1)
    images = pictures((1, 1, 8, 8))
    assert units_of(model, images, None).name == "module.second"
    assert units_of(model, images, None).carrier is model.module.second
    assert units_of(model, images, "module.first").carrier is model.module.own


def test_normalisations_with_an_activation_inside_and_squeezing_layers():
    network = timm.create_model("efficientnet_b0", num_classes=3, in_chans=1).eval()
    model = Subject(network, task="multiclass", classes=CLASSES, channels=1)
    found = units_of(model, pictures((1, 1, 64, 64)), None)
    assert found.name == "module.conv_head"
    assert found.carrier is network.bn2
    off = torch.zeros(found.count, dtype=torch.bool)
    off[3:7] = True
    found.silence(off)
    shown = network.forward_features(pictures((1, 1, 64, 64)))
    assert shown.flatten(2).abs().amax(2)[0, 3:7].tolist() == [0, 0, 0, 0]
    assert shown.flatten(2).abs().amax(2)[0].count_nonzero() > 1000


def test_a_detector_can_be_fine_tuned():
    arch = "aseptic:smallretina?width=8&anchor=8"
    model = new_subject(arch, task="detection", classes=["disc", "square"], size=32, channels=1).eval()
    boxes = [[Box(corners=(4.0, 5.0, 14.0, 15.0), label=k % 2)] for k in range(4)]
    data = memory_set("set", pictures((4, 1, 32, 32)), boxes=boxes, classes=["disc", "square"], task="detection")
    cured = FineTuning(epochs=1, batch_size=4).cure(model, data)
    assert fingerprint(cured) != fingerprint(model)


def test_classes_are_matched_by_name():
    model, data = planted(), clean(12)
    turned = match_classes(data, data.classes[::-1])
    assert turned.classes != data.classes
    cured = [FineTuning(epochs=1, batch_size=4).cure(model, one, seed=3) for one in (data, turned)]
    assert fingerprint(cured[0]) == fingerprint(cured[1])


def test_refuses_what_cannot_be_cured():
    model, data = planted(), clean(6)
    detector = Subject(nn.Conv2d(1, 6, 1), task="detection", classes=["x", "y"], channels=1)
    with pytest.raises(InputError, match="ANP serves multiclass and multilabel and segmentation models, got detection"):
        ANP().cure(detector, data)
    with pytest.raises(InputError, match=r"clean images must have labels for multilabel, as the model; got multiclass"):
        ANP().cure(planted("multilabel"), data)
    with pytest.raises(InputError, match="labels for multiclass, as the model; got none"):
        ANP().cure(model, memory_set("bare", data.images))
    with pytest.raises(InputError, match="a cure needs clean images, and clean has none"):
        ANP().cure(model, data.select([]))
    for name in DEFENCES.names():
        with pytest.raises(
            InputError, match="clean images must be of at least 2 classes, or the others are forgotten; got only b"
        ):
            make_defence(name).cure(model, data.select([1, 4]))
    for name in ("anp", "fine-pruning"):
        with pytest.raises(InputError, match="clean images must show a finding in some images and its absence"):
            make_defence(name, batch_size=2).cure(planted("multilabel"), clean(6, "multilabel").select([1, 4]))
        blank = memory_set("blank", pictures((2, 1, 8, 8)), classes=segnet().task.classes, task="segmentation",
                           masks=torch.zeros((2, 8, 8), dtype=torch.long))  # fmt: skip
        with pytest.raises(InputError, match="clean images must show a structure, or nobody knows"):
            make_defence(name, **({"steps": 1} if name == "anp" else {})).cure(segnet(), blank)
    with pytest.raises(InputError, match="the weights are no longer finite: FineTuning has diverged; take"):
        FineTuning(lr=1e30, epochs=4).cure(model, data)
    flat = Subject(nn.Sequential(nn.Flatten(), nn.Linear(256, 3)), task="multiclass", classes=CLASSES, channels=1)
    with pytest.raises(InputError, match="Sequential has no batch normalisation, convolution or linear layer before"):
        ANP().cure(flat, data)
    with pytest.raises(InputError, match="Sequential has no convolution before its head: name a layer whose units"):
        FinePruning().cure(flat, data)
    with pytest.raises(InputError, match=r"layer must be a convolution or linear layer that is executed, such as mod"):
        FinePruning(layer="module.unit").cure(model, data)
    plain = planted(norm=True)
    plain.module.norm = nn.BatchNorm2d(4, affine=False)
    with pytest.raises(InputError, match=r"layer 'module.units' is followed by a normalisation without a scale"):
        FinePruning().cure(plain.eval(), data)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        ("fine-tuning", {"epochs": 0}, "epochs must be at least 1, got 0"),
        ("fine-tuning", {"lr": 0.0}, "lr must be greater than 0, got 0"),
        ("fine-tuning", {"momentum": 1.0}, r"momentum must lie in \[0, 1\), got 1"),
        ("fine-tuning", {"weight_decay": -1}, "weight_decay must be at least 0, got -1"),
        ("fine-pruning", {"allowed": 1}, r"allowed must lie in \[0, 1\), got 1"),
        ("fine-pruning", {"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ("anp", {"steps": 0}, "steps must be at least 1, got 0"),
        ("anp", {"alpha": 2}, r"alpha must lie in \[0, 1\], got 2"),
        ("anp", {"threshold": 0}, r"threshold must lie in \(0, 1\), got 0"),
        ("i-bau", {"rounds": 0}, "rounds must be at least 1, got 0"),
        ("i-bau", {"fixed_point": -1}, "fixed_point must be at least 0, got -1"),
        ("i-bau", {"radius": 0}, "radius must be greater than 0, got 0"),
        ("i-bau", {"eta": 0}, "eta must be greater than 0, got 0"),
        ("i-bau", {"perturbed": 0}, r"perturbed must lie in \(0, 1\], got 0"),
        (
            "i-bau",
            {"radios": 1},
            r"a setting of defence i-bau must be one of .*; got 'radios', did you",
        ),
        ("ibau", {}, "defence must be one of .*; got 'ibau', did you mean 'i-bau'"),
    ],
)
def test_refuses_settings_without_a_meaning(name, wrong, message):
    with pytest.raises(InputError, match=message):
        make_defence(name, **wrong)
