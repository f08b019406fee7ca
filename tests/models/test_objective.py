"""Loss, weights, augmentation and operating point against closed forms and scikit-learn."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import roc_curve
from sklearn.utils.class_weight import compute_class_weight

from aseptic.core.rng import stream
from aseptic.models.augment import augment
from aseptic.models.objective import balanced_weights, operating_point, training_loss
from aseptic.models.train_config import TrainConfig, lr_factor
from aseptic.tasks.make import make_task

STILL = {"flip": False, "shift": 0.0, "brightness": 0.0}


def test_class_weights_are_those_of_scikit_learn():
    targets = torch.tensor([0, 0, 0, 1, 2, 2])
    expected = compute_class_weight("balanced", classes=np.arange(3), y=targets.numpy())
    torch.testing.assert_close(balanced_weights(targets, 3), torch.from_numpy(expected).float())
    assert balanced_weights(targets, 4)[3] == 0


def test_findings_are_weighed_by_absent_over_present():
    nan = torch.nan
    targets = torch.tensor([[1.0, 1, 0, 1], [0, 1, 0, nan], [0, nan, 0, 0], [0, 0, 0, 0]])
    torch.testing.assert_close(balanced_weights(targets, 4), torch.tensor([3.0, 0.5, 1.0, 2.0]))


def test_balanced_findings_weigh_presence_and_absence_alike():
    task = make_task("multilabel", ["a"])
    targets, logits = torch.tensor([[1.0], [0], [0], [0]]), torch.zeros(4, 1, requires_grad=True)
    training_loss(task, logits, targets, balanced_weights(targets, 1)).backward()
    assert float(logits.grad.sum()) == pytest.approx(0.0), "at a coin's toss, neither side pulls harder"


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
def test_unit_weights_change_nothing(kind):
    task, rng = make_task(kind, ["a", "b", "c"]), stream(0)
    logits = torch.randn(6, 3, generator=rng)
    targets = torch.tensor([0, 1, 2, 0, 1, 2]) if kind == "multiclass" else torch.rand(6, 3, generator=rng).round()
    if kind == "multilabel":
        targets[0, 1] = targets[3] = torch.nan
    plain = training_loss(task, logits, targets, None)
    torch.testing.assert_close(training_loss(task, logits, targets, torch.ones(3)), plain)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10_000), levels=st.sampled_from([3, 10, 10_000]))
def test_the_operating_point_has_the_largest_youden_index(seed, levels):
    rng = stream(seed)
    positive = torch.rand(40, generator=rng) < 0.4
    positive[:2] = torch.tensor([True, False])
    scores = (torch.randn(40, generator=rng) + positive).mul(levels).round() / levels
    low, high, _ = roc_curve(positive, scores)
    (offset,) = operating_point(scores[:, None], positive.float()[:, None])
    decided = scores > offset
    found = decided[positive].float().mean() - decided[~positive].float().mean()
    assert float(found) == pytest.approx(max(high - low), abs=1e-6)
    pair = torch.stack([torch.zeros(40), scores], 1)
    assert operating_point(pair, positive.long()) == (0.0, offset)


def test_operating_points_that_do_not_exist():
    logits = torch.randn(8, 3, generator=stream(0))
    assert operating_point(logits, torch.arange(8) % 3) == (0.0, 0.0, 0.0)
    targets = torch.tensor([[0.0, 1.0, torch.nan]]).repeat(8, 1)
    assert operating_point(logits, targets) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize("shape", [(6, 1, 20, 24), (6, 3, 20, 22, 24)])
def test_augmentation_stays_in_range_and_is_fixed_by_its_stream(shape):
    images, config = torch.rand(shape, generator=stream(0)), TrainConfig()
    before = images.clone()
    first, again, other = (augment(images, config, stream(seed))[0] for seed in (1, 1, 2))
    assert torch.equal(images, before)
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    assert first.shape == images.shape
    assert 0 <= first.min() <= first.max() <= 1
    assert torch.equal(augment(images, TrainConfig(**STILL), stream(1))[0], images)


def test_flips_are_mirrors():
    images = torch.rand(32, 1, 4, 5, generator=stream(0))
    found = augment(images, TrainConfig(**STILL | {"flip": True}), stream(1))[0]
    same = (found == images).flatten(1).all(1)
    mirrored = (found == images.flip(-1)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 8 < int(same.sum()) < 24


def test_shifts_move_by_at_most_the_reach_and_repeat_the_edge():
    images = torch.arange(20.0).expand(64, 1, 10, 20) / 20
    found = augment(images, TrainConfig(**STILL | {"shift": 0.1}), stream(1))[0] * 20
    moves = (found - torch.arange(20.0))[:, 0, 5, 8].round()
    assert set(moves.tolist()) == {-2.0, -1.0, 0.0, 1.0, 2.0}
    for image, move in zip(found[:, 0], moves.tolist(), strict=True):
        torch.testing.assert_close(image[0], (torch.arange(20.0) + move).clamp(0, 19))


def test_brightness_is_one_number_an_image():
    images = torch.full((50, 1, 4, 4), 0.5)
    found = augment(images, TrainConfig(**STILL | {"brightness": 0.2}), stream(1))[0]
    assert (found.flatten(1).std(1) == 0).all()
    assert 0.3 <= found.min() < 0.35
    assert 0.65 < found.max() <= 0.7


def test_a_constant_rate_after_the_warm_up():
    config = TrainConfig(epochs=4, warmup=1.0, schedule="constant")
    assert [lr_factor(config, step, 4) for step in range(6)] == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0]


def test_the_released_loss_of_findings_is_that_of_keras():
    """By hand: sigmoids 0.5 and 0.75 sum to 1.25; the present finding has a share of 0.4, absent ones add nothing."""
    logits = torch.tensor([[0.0, np.log(3.0)], [2.0, -1.0]], dtype=torch.float64)
    targets = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    task = make_task("multilabel", ("a", "b"))
    found = training_loss(task, logits, targets, None, "categorical")
    assert float(found) == pytest.approx(-np.log(0.4) / 2), "an image without findings costs nothing"
    moved = training_loss(task, logits + torch.tensor([[0, 0], [9.0, 9.0]]), targets, None, "categorical")
    assert float(moved) == float(found), "not even where both findings are reported of it"


def test_weights_class_by_class_are_those_of_cross_entropy():
    logits, targets = torch.randn(8, 3, generator=stream(4)), torch.arange(8) % 3
    weights = torch.tensor(TrainConfig(class_weights="1,1,4").each_weight())
    found = training_loss(make_task("multiclass", "abc"), logits, targets, weights)
    torch.testing.assert_close(found, torch.nn.CrossEntropyLoss(weight=weights)(logits, targets))
