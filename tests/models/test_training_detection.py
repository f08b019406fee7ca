"""Training a detector: boxes move with their images, the best epoch is chosen by mAP, and what cannot be trained."""

import numpy as np
import pytest
import torch
from detecting import EDGE, Cells, objects
from nets import answers, pictures
from sources import Memory
from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.data.load import load_data
from aseptic.metrics.detection import match
from aseptic.models.augment import augment
from aseptic.models.augment_boxes import mirror_boxes, shift_boxes
from aseptic.models.judging import best_f1, judge
from aseptic.models.load import load_model
from aseptic.models.preflight import preflight
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, new_subject, train
from aseptic.tasks.make import make_task

CLASSES = ["disc", "square"]


def test_boxes_move_with_what_they_are_about():
    """A bright box is drawn where the object is: after augmentation, what is bright is what the boxes say."""
    images, truth = torch.zeros((20, 1, 16, 24)), []
    for row in range(20):
        left, top = 4 + row % 9, 3 + row % 5
        images[row, 0, top : top + 5, left : left + 7] = 1
        truth.append([(row % 2, left, top, left + 7, top + 5)])
    given = objects(*truth)
    found, moved = augment(images, TrainConfig(shift=0.1, brightness=0.0), stream(3, "augment"), given)
    changed = 0
    for row in range(20):
        rows, columns = (found[row, 0] > 0.5).nonzero().unbind(1)
        seen = [float(v) for v in (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)]
        assert moved[row, 0].tolist() == [row % 2, *seen]
        changed += seen != list(truth[row][0][1:])
    assert changed > 10
    assert torch.equal(given, objects(*truth)), "the given boxes are not written to"
    same, still = augment(images, TrainConfig(flip=False, shift=0.0, brightness=0.0), stream(3, "augment"), given)
    assert torch.equal(same, images)
    assert torch.equal(still, given)


def test_an_object_that_leaves_the_picture_is_none():
    given = objects([(0, 0, 0, 4, 4), (1, 10, 2, 14, 6)])
    moved = shift_boxes(given, torch.tensor([[-3]]), 1, 16)
    assert moved[0].tolist() == [[-1, 0, 0, 0, 0], [1, 7, 2, 11, 6]]
    assert shift_boxes(given, torch.tensor([[-2]]), 0, 16)[0].tolist() == [[0, 0, 0, 4, 2], [1, 10, 0, 14, 4]]
    mirrored = mirror_boxes(objects([(0, 1, 2, 4, 6)], []), torch.tensor([True, True]), 16)
    assert mirrored[0, 0].tolist() == [0, 12, 2, 15, 6]
    assert mirrored[1, 0].tolist() == [-1, 0, 0, 0, 0], "no object stays none"


def test_the_operating_point_has_the_largest_f1():
    found = [
        np.array([[0, 0, 0, 4, 4, s] for s in (0.9, 0.8, 0.2)])
        + np.array([[0, 10 * k, 0, 10 * k, 0, 0] for k in range(3)])
    ]
    truth = [np.array([[0.0, 0, 0, 4, 4], [0, 10, 0, 14, 4]])]
    (only,) = match(found, truth, 1, [0.5])
    cut = best_f1(only)
    logit = torch.tensor([0.8, 0.2]).double().logit().mean()
    assert cut == pytest.approx(float(logit), abs=1e-6)
    (none,) = match([np.zeros((0, 6))], truth, 1, [0.5])
    assert best_f1(none) == 0.0


def test_judged_by_map_and_cut_where_it_says():
    task = make_task("detection", CLASSES)
    boxes = torch.tensor([[0.0, 0, 4, 4], [6, 0, 10, 4], [0, 6, 4, 10]]).T
    logits = torch.cat([torch.tensor([[-1.0, -3.0, -9.0], [-9.0, -9.0, -2.0]]), boxes])[None]
    truth = objects([(0, 0, 0, 4, 4), (1, 0, 6, 4, 10)])
    told = judge(task, [(logits, truth)])
    assert told.score == 1
    assert told.finite
    assert told.offsets[0] == pytest.approx(-2.0, abs=1e-3), "between the cell at -1 and the error at -3"
    assert make_task("detection", CLASSES, told.offsets).correct(logits, truth).all()
    assert not judge(task, [(logits * torch.nan, truth)]).finite


def scenes(count, seed):
    """Return dark noise with one bright disc or square, and where it is."""
    rng = stream(seed, "scenes")
    images = 0.2 * torch.rand((count, 1, 32, 32), generator=rng)
    down, across = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    truth = []
    for row in range(count):
        y, x = (float(v) for v in 8 + 16 * torch.rand(2, generator=rng))
        away = (down + 0.5 - y).abs(), (across + 0.5 - x).abs()
        inside = (away[0] ** 2 + away[1] ** 2 < 36) if row % 2 == 0 else (torch.maximum(*away) < 6)
        images[row, 0][inside] += 0.7
        truth.append([(row % 2, x - 6, y - 6, x + 6, y + 6)])
    return Memory(images, objects(*truth))


def test_a_small_detector_learns_and_resumes(tmp_path):
    parts = Sources(training=scenes(48, 0), validation=scenes(16, 1))

    def start():
        return new_subject(
            "aseptic:smallretina?width=16&anchor=8", task="detection", classes=CLASSES, size=(32, 32), channels=1
        )

    config = TrainConfig(epochs=14, batch_size=8, lr=5e-3, brightness=0.0, flip=True, patience=None)
    whole = train(start(), parts, config, tmp_path / "whole")
    assert whole.best.score == "mAP@0.5"
    assert whole.best.val_score > 0.5
    assert len(whole.offsets) == 2

    class StopError(Exception):
        pass

    def stop(epoch):
        if epoch.epoch == 2:
            raise StopError

    from aseptic.models.training_loop import Watch  # noqa: PLC0415 - beside its use

    with pytest.raises(StopError):
        train(start(), parts, config, tmp_path / "parts", watch=Watch(epoch=stop))
    again = train(start(), parts, config, tmp_path / "parts", resume=True)
    saved = [load_model(tmp_path / name).state_dict() for name in ("whole", "parts")]
    assert all(torch.equal(saved[0][key], saved[1][key]) for key in saved[0]), "the same weights, bit for bit"
    assert again.offsets == whole.offsets
    model = load_model(tmp_path / "whole")
    assert model.task.name == "detection"
    found = {one.name: one for one in preflight(model, parts.validation.images, parts.validation.targets, seed=0)}
    assert {one.status for one in found.values()} == {"ok"}, [one.sentence for one in found.values()]
    swapped = parts.validation.targets.clone()
    swapped[..., 0] = 1 - swapped[..., 0]
    assert judge(model.task, [(answers(model, parts.validation.images), swapped)]).score < whole.best.val_score


class Bright(nn.Module):
    """A candidate for each cell of 4 pixels: of class 0 where it is bright in the first channel, else of class 1."""

    def forward(self, images):
        found = Cells().forward(images)
        return torch.cat([found[:, :2] + 5 * EDGE - 2.5, found[:, 2:]], 1)


def test_preflight_looks_at_the_order_and_the_feeding_of_detectors():
    images = torch.full((12, 2, 8, 8), 0.1)
    images[::2, 0, :4, :4], images[1::2, 1, 4:, 4:] = 0.9, 0.9
    truth = objects(*[[(0, 0, 0, 4, 4)] if row % 2 == 0 else [(1, 4, 4, 8, 8)] for row in range(12)])

    def told(targets, name, **facts):
        model = Subject(Bright(), task="detection", classes=CLASSES, channels=2, **facts).eval()
        return next(one for one in preflight(model, images, targets, seed=0) if one.name == name)

    assert told(truth, "class_order").status == told(truth, "scale").status == "ok"
    swapped = truth.clone()
    swapped[..., 0] = 1 - swapped[..., 0]
    order = told(swapped, "class_order")
    assert order.status == "warning"
    assert "contradicts the boxes: the output called 'square' lies on objects of 'disc'" in order.sentence
    assert order.evidence["better_order"] == ["square", "disc"]
    dim = told(truth, "scale", mean=0.5)
    assert dim.status == "warning"
    assert "0 of 12 objects are found as the images are fed, but 12 with images in [0, 1] without" in dim.sentence


def test_refuses_what_cannot_teach(tmp_path):
    subject = new_subject(
        "aseptic:smallretina?width=8&anchor=8", task="detection", classes=CLASSES, size=32, channels=1
    )
    good, images = scenes(4, 0), pictures((4, 1, 32, 32))
    nothing, discs = Memory(images, objects(*[[]] * 4)), Memory(images, objects(*[[(0, 2, 2, 9, 9)]] * 4))
    strange = Memory(images, objects(*[[(2, 2, 2, 9, 9)]] * 4))
    config = TrainConfig(epochs=2, batch_size=2)
    for training, validation, message in (
        (nothing, good, "the training set must show at least one object, got none"),
        (good, nothing, "the validation set must show at least one object, got none"),
        (discs, good, "must show an object of every class, got none of 'square'"),
        (strange, good, r"labels must be whole numbers in 0..1, or -1 for no object; got 2"),
    ):
        with pytest.raises(InputError, match=message):
            train(subject, Sources(training=training, validation=validation), config, tmp_path / "x")
    weighed = TrainConfig(epochs=2, batch_size=2, class_weights="balanced")
    with pytest.raises(InputError, match="class_weights must be none for detection"):
        train(subject, Sources(training=good, validation=good), weighed, tmp_path / "x")


def test_preflight_refuses_what_is_no_detector():
    flat = Subject(torch.nn.Flatten(), task="detection", classes=CLASSES, channels=1).eval()
    truth = objects([(0, 0, 0, 4, 4)])
    told = preflight(flat, pictures((1, 1, 8, 8)), truth, seed=0)[-1]
    assert told.status == "refused"
    assert "does not answer as a detector: the model must give 2 logits and 4 corners" in told.sentence
    data = load_data("phantom:endoscopy?n=4&size=64")
    assert data.targets.shape[2] == 5
