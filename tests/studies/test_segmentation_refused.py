"""Masks, classes and requests that do not fit a segmentation, and what is said of them."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from aseptic.core.errors import InputError
from aseptic.data.memory import memory_set
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.studies.audit.run import prepare
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.train import TrainRequest, open_parts, train_on

REQUEST = TrainRequest(arch="monai:unet?width=8&depth=3", size=32, channels=None, mean=(0.5,), std=(0.25,))
CONFIG = TrainConfig(epochs=10, lr=0.02, batch_size=8, shift=0.0, accelerator="cpu")
SETTINGS = AuditSettings(grey_levels=(4.0, 16.0), reference=16.0, steps=5)


def pictures(**changes):
    rng = np.random.default_rng(0)
    masks = np.zeros((8, 16, 16), int)
    masks[:, 4:9, 4:9] = 1
    given = {
        "images": rng.random((8, 1, 16, 16), dtype=np.float32),
        "masks": masks,
        "task": "segmentation",
        "classes": ["background", "organ"],
        "splits": ["train"] * 5 + ["val"] * 2 + ["test"],
    } | changes
    return memory_set("pictures", given.pop("images"), **given)


def small(classes=("background", "organ")):
    network = torch.nn.Conv2d(1, len(classes), 3, padding=1)
    return Subject(network, task="segmentation", classes=list(classes), channels=1).eval()


@pytest.mark.parametrize(
    ("changes", "classes", "message"),
    [
        ({"masks": np.full((8, 16, 16), 3)}, ("background", "organ"), r"numbers of classes, 0\.\.1 .*got 3"),
        ({"classes": []}, ("background",) * 0 + ("background", "organ"), None),
        ({"masks": np.full((8, 16, 16), 3), "classes": []}, ("background", "organ"), "masks must hold numbers of the"),
        ({"classes": ["background", "cyst"]}, ("background", "organ"), "labels must be among the model's .* got cyst"),
        ({"masks": np.zeros((8, 8, 8), int)}, ("background", "organ"), "the mask must have the image's size"),
    ],
)
def test_masks_that_do_not_fit_the_model_are_refused(changes, classes, message):
    data = pictures(**changes)
    if message is None:
        assert prepare(small(classes), data, SETTINGS)[0].targets.shape == (8, 16, 16)
        return
    with pytest.raises(InputError, match=message):
        prepare(small(classes), data, SETTINGS)


def test_structures_are_matched_by_name():
    data = pictures(classes=["background", "organ"])
    made, _ = prepare(small(("background", "cyst", "organ")), data, SETTINGS)
    assert torch.equal(made.targets, 2 * data.targets)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"masks": np.zeros((8, 16, 16), int)}, "the training masks must show at least one structure"),
        ({"classes": ["background", "organ", "cyst"]}, "show every class at least once, got none of 'cyst'"),
        ({"masks": None}, "the train split must hold at least one readable image, got none: .* has no mask"),
    ],
)
def test_sets_that_cannot_teach_are_refused(tmp_path, monkeypatch, changes, message):
    monkeypatch.setattr("aseptic.studies.train.load_data", lambda *_, **__: pictures(**changes))
    request = replace(REQUEST, arch="monai:unet?width=4&depth=2", size=16)
    with pytest.raises(InputError, match=message):
        train_on(open_parts("pictures"), request, CONFIG, tmp_path)


def test_a_validation_split_without_structures_is_refused(tmp_path, monkeypatch):
    masks = np.zeros((8, 16, 16), int)
    masks[:5, 4:9, 4:9] = 1
    monkeypatch.setattr("aseptic.studies.train.load_data", lambda *_, **__: pictures(masks=masks))
    request = replace(REQUEST, arch="monai:unet?width=4&depth=2", size=16)
    with pytest.raises(InputError, match="the validation masks must show at least one structure, got background"):
        train_on(open_parts("pictures"), request, CONFIG, tmp_path)


@pytest.mark.parametrize(
    ("request_", "config", "message"),
    [
        ({"size": 18}, {}, r"size must be a multiple of 4 along each axis for monai:unet with depth=3, got \[18, 18\]"),
        ({"arch": "monai:basicunet", "size": 16}, {}, "size must be at least 32 along an axis for monai:basicunet"),
        ({"arch": "monai:densenet121"}, {}, "monai:densenet121 does not serve the task segmentation"),
        ({}, {"class_weights": "balanced"}, "class_weights must be none for segmentation"),
    ],
)
def test_requests_that_do_not_fit_are_refused(tmp_path, monkeypatch, request_, config, message):
    monkeypatch.setattr("aseptic.studies.train.load_data", lambda *_, **__: pictures())
    request = replace(REQUEST, **{"size": 32, **request_})
    with pytest.raises(InputError, match=message):
        train_on(open_parts("pictures"), request, replace(CONFIG, **config), tmp_path)


def test_classes_of_masks_must_be_named(monkeypatch):
    monkeypatch.setattr("aseptic.studies.train.load_data", lambda *_, **__: pictures(classes=[]))
    with pytest.raises(InputError, match="classes must be given for masks, in the order of their numbers"):
        open_parts("pictures")
