"""Attacks that look for a small change of a segmentation, on models whose smallest one is known or measured."""

import pytest
import torch
from segmenting import EDGE, deciding, threshold, unet

from aseptic.attacks import DAG, ALMAProx, Threat, run
from aseptic.ops.balls import Ball
from aseptic.tasks.segmentation import Damage, Erase

SPACES = pytest.mark.parametrize("space", [(7, 8), (3, 4, 5)], ids=["2-D", "3-D"])


@SPACES
@pytest.mark.parametrize("share", [0.5, 0.9])
def test_dag_stops_one_step_beyond_the_nearest_success(share, space):
    """All places that wait have the same gradient: each step moves them by ``step``, and nothing else."""
    model, images, truth = threshold(space)
    heights = deciding(images, truth, share)
    goal, step = Erase(name="organ", share=share), 0.01
    result = run(DAG(steps=100, step=step), model, images, truth, Threat(goal, Ball("linf", 1.0)))
    assert result.success.all()
    assert (result.distance >= heights).all()
    assert (result.distance <= heights + step + 1e-5).all()
    moved = (images - result.images)[:, 0]
    expected = (((images[:, 0] - EDGE) / step).ceil() * step).clamp(min=0).where(truth == 1, 0)
    most = result.distance.reshape(-1, *(1,) * len(space))
    torch.testing.assert_close(moved, torch.minimum(expected, most), rtol=0, atol=2e-5)
    assert result.cost.backwards < 4 * (float(heights.max()) / step + 2), "images that fell cost nothing more"


@SPACES
@pytest.mark.parametrize(("share", "steps"), [(0.5, 150), (0.9, 400)])
def test_alma_prox_finds_the_nearest_success(share, steps, space):
    """It is the deciding place's height above the edge: no place need move further."""
    model, images, truth = threshold(space)
    heights = deciding(images, truth, share)
    attack = ALMAProx(steps=steps, step=0.01 if steps < 200 else 0.005)
    result = run(attack, model, images, truth, Threat(Erase(name="organ", share=share), Ball("linf", 1.0)))
    assert result.success.all()
    assert (result.distance >= heights * (1 - 1e-5)).all()
    assert (result.distance <= heights * 1.02).all()


def test_alma_prox_goes_far_less_far_than_dag():
    model, images, truth = unet((16, 16))
    threat = Threat(Erase(name="lesion"), Ball("linf", 1.0))
    slow, near = (
        run(attack, model, images, truth, threat) for attack in (DAG(step=0.005), ALMAProx(step=0.01, steps=80))
    )
    assert near.success.all()
    assert near.distance.median() < 0.75 * slow.distance[slow.success].median()


def test_alma_prox_leaves_what_is_there_already():
    model, images, truth = unet((16, 16))
    result = run(ALMAProx(), model, images, 1 - truth, Threat(Damage(), Ball("linf", 0.1)))
    assert torch.equal(result.images, images)
    assert (result.cost.forwards, result.cost.backwards) == (len(images), 0)


def test_dag_outside_the_budget_comes_back_at_its_edge():
    model, images, truth = threshold((6, 6))
    radius = 0.5 * float(deciding(images, truth, 0.9).min())
    result = run(DAG(step=0.02), model, images, truth, Threat(Erase(name="organ"), Ball("linf", radius)))
    assert not result.success.any()
    torch.testing.assert_close(result.distance, torch.full((4,), radius))
