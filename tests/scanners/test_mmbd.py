"""MM-BD on linear models, whose largest margins are known, and without any data."""

import numpy as np
import pytest
import torch
from scanned import boxed, straight
from scipy.optimize import linprog

from aseptic.core.errors import InputError
from aseptic.scanners.mmbd import MMBD
from aseptic.tasks.make import make_task


def largest(model, output):
    """Return the largest margin of a linear model inside [0, 1], by linear programming."""
    weight = model.module.weight.detach().double().numpy()
    bias = (model.module.bias.detach().double() - torch.tensor(model.task.offsets or (0.0,))).numpy()
    others = [k for k in range(len(weight)) if k != output]
    rows = np.hstack([weight[others] - weight[output], np.ones((len(others), 1))])
    cost = np.append(np.zeros(weight.shape[1]), -1)
    box = [(0, 1)] * weight.shape[1] + [(None, None)]
    return -linprog(cost, rows, bias[output] - bias[others], bounds=box).fun


@pytest.mark.parametrize("pixels", [(1, 6, 6), (1, 3, 4, 3)], ids=["2-D", "3-D"])
def test_two_classes_reach_the_corner_of_the_box(pixels):
    model = straight(pixels=pixels)
    scan = MMBD(steps=60).scan(model, torch.zeros((0, *pixels)))
    weight, bias = model.module.weight[1] - model.module.weight[0], model.module.bias[1] - model.module.bias[0]
    wanted = torch.stack([(-weight).relu().sum() - bias, weight.relu().sum() + bias])
    torch.testing.assert_close(scan.scores, wanted.detach(), rtol=1e-4, atol=1e-4)
    corner = (weight > 0).float().reshape(1, *pixels)
    torch.testing.assert_close(scan.pictures, torch.cat([1 - corner, corner]))
    assert scan.statistic == pytest.approx(float(scan.scores.max() - scan.scores.min()))
    assert scan.target == int(wanted.argmax())
    assert (scan.reached == 1).all()
    assert scan.masks.shape == (2, *pixels[1:])


@pytest.mark.parametrize("offsets", [(), (0.5, -2.0, 0.0, 1.0)])
def test_several_classes_reach_what_linear_programming_says(offsets):
    model = straight(4, seed=1)
    model.task = make_task("multiclass", model.task.classes, offsets)
    scan = MMBD(steps=200, starts=4).scan(model, torch.zeros(0, 1, 6, 6))
    for k in range(4):
        assert float(scan.scores[k]) == pytest.approx(largest(model, k), rel=0.01)
        assert float(scan.scores[k]) <= largest(model, k) + 1e-4
    ordered = sorted(scan.scores.tolist())
    assert scan.statistic == pytest.approx(ordered[3] - ordered[1])


def test_a_finding_is_climbed_by_itself():
    model = straight(3, task="multilabel")
    scan = MMBD(steps=60).scan(model, torch.zeros(0, 1, 6, 6))
    wanted = model.module.weight.relu().sum(1) + model.module.bias
    torch.testing.assert_close(scan.scores, wanted.detach(), rtol=1e-4, atol=1e-4)
    single = straight(1, task="multilabel")
    one = MMBD(steps=60).scan(single, torch.zeros(0, 1, 6, 6))
    assert one.statistic == float(one.scores[0])


def test_the_planted_target_stands_out_and_pictures_play_no_part():
    model, method = boxed(400.0), MMBD(steps=60)
    scan = method.scan(model, torch.zeros(0, 1, 20, 20))
    assert scan.outputs[scan.target] == "c"
    assert scan.index[2] > 2
    assert scan.statistic > 10 * method.scan(boxed(0.0), torch.zeros(0, 1, 20, 20)).statistic
    other = method.scan(model, torch.rand(3, 1, 20, 20))
    assert torch.equal(other.scores, scan.scores)


def test_outputs_are_climbed_together_as_alone_and_leave_once_they_gain_no_more():
    model, told = straight(4, seed=2), []
    scan = MMBD(steps=80, starts=3).scan(model, torch.zeros(0, 1, 6, 6), watch=told.append)
    small = MMBD(steps=80, starts=3, at_once=2).scan(model, torch.zeros(0, 1, 6, 6))
    torch.testing.assert_close(small.scores, scan.scores, rtol=1e-4, atol=1e-4)
    assert scan.cost.forwards == scan.cost.backwards == sum(3 * one.left for one in told)
    left = [one.left for one in told]
    assert left == sorted(left, reverse=True)
    corner = []
    MMBD(steps=80, starts=3).scan(straight(2), torch.zeros(0, 1, 6, 6), watch=corner.append)
    assert corner[-1].done <= 40, "two classes are at the corner of the box within 20 steps"
    order = [2, 0, 3, 1]
    turned = straight(4, seed=2)
    turned.module.weight.data, turned.module.bias.data = model.module.weight[order], model.module.bias[order]
    turned.task = make_task("multiclass", [model.task.classes[k] for k in order])
    same = MMBD(steps=80, starts=3).scan(turned, torch.zeros(0, 1, 6, 6))
    torch.testing.assert_close(same.scores, scan.scores[order], rtol=1e-4, atol=1e-4)


def test_refuses_settings_without_a_meaning():
    for name in ("starts", "steps", "at_once"):
        with pytest.raises(InputError, match=f"{name} must be a whole number of at least 1, got 0"):
            MMBD(**{name: 0})
    with pytest.raises(InputError, match="step must be a positive number, got inf"):
        MMBD(step=float("inf"))
