"""Segmentation: losses and Dice against MONAI, margins against counted places, goals by name, messages."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from monai.losses import DiceLoss
from monai.metrics import compute_dice
from torch.nn import functional as F

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.metrics.overlap import dice
from aseptic.tasks.make import make_task, parse_goal, untargeted
from aseptic.tasks.segmentation import Damage, Erase, Relabel

NAMES = ("background", "organ", "tumour")
SPACES = st.sampled_from([(5, 6), (3, 4, 3)])
POINTS = st.sampled_from([(), (0.5, -1.0, 0.2)])
few = settings(max_examples=40, deadline=None)
seeds = st.integers(0, 100_000)


def task_of(point=()):
    return make_task("segmentation", NAMES, point)


def draw(seed, space=(5, 6), n=4):
    """Return logits that are mostly right, and truths of which the last lacks the tumour."""
    truth = torch.randint(0, 3, (n, *space), generator=stream(seed, "truth"))
    truth[-1] = truth[-1].clamp(max=1)
    logits = 2 * torch.randn((n, 3, *space), generator=stream(seed, "logits"))
    return logits.scatter_add(1, truth[:, None], torch.full_like(logits[:, :1], 2.0)), truth


@few
@given(seed=seeds, space=SPACES)
def test_the_loss_is_cross_entropy_and_monais_dice(seed, space):
    logits, truth = draw(seed, space)
    loss = DiceLoss(include_background=False, softmax=True, to_onehot_y=True, smooth_nr=1e-5, smooth_dr=1e-5)
    whole = [loss(one[None], true[None, None]) for one, true in zip(logits, truth, strict=True)]
    expected = torch.stack(whole) + F.cross_entropy(logits, truth, reduction="none").flatten(1).mean(1)
    torch.testing.assert_close(task_of().loss(logits, truth), expected)


@few
@given(seed=seeds, space=SPACES)
def test_dice_is_that_of_monai_and_not_a_number_without_a_structure(seed, space):
    logits, truth = draw(seed, space)
    found = logits.argmax(1)
    found[-1] = found[-1].clamp(max=1)
    hot = [F.one_hot(part, 3).movedim(-1, 1) for part in (found, truth)]
    torch.testing.assert_close(dice(found, truth, 3), compute_dice(*hot), equal_nan=True)
    assert dice(found, truth, 3)[-1].isnan().tolist() == [False, False, True]


def test_dice_against_typed_in_values():
    truth = torch.tensor([[0, 0, 1, 1], [0, 0, 0, 0], [2, 2, 2, 2]])
    found = torch.tensor([[0, 1, 1, 0], [0, 0, 0, 1], [2, 2, 2, 2]])
    nan = math.nan
    expected = torch.tensor([[0.5, 0.5, nan], [6 / 7, 0.0, nan], [nan, nan, 1.0]])
    torch.testing.assert_close(dice(found, truth, 3), expected, equal_nan=True)


def one_hot(found):
    return F.one_hot(found, 3).movedim(-1, 1).float()


def test_what_counts_as_right():
    truth = torch.tensor([[[1, 1, 2, 2]], [[0, 0, 0, 0]], [[0, 0, 0, 0]], [[1, 1, 0, 0]], [[1, 1, 0, 0]]])
    found = torch.tensor([[[1, 1, 0, 0]], [[0, 0, 0, 0]], [[0, 0, 0, 1]], [[1, 1, 2, 2]], [[1, 1, 1, 0]]])
    task = task_of()
    agreement = task.agreement(one_hot(found), truth)
    torch.testing.assert_close(agreement, torch.tensor([0.5, math.nan, 0.0, 0.5, 0.8]), equal_nan=True)
    assert task.correct(one_hot(found), truth).tolist() == [True, True, False, True, True]
    assert Damage().applies(task, truth).tolist() == [True, False, False, True, True]
    assert (Damage().margin(task, one_hot(found), truth) > 0).tolist() == [False, False, True, False, False]


@few
@given(seed=seeds, space=SPACES, point=POINTS, share=st.sampled_from([0.0, 0.29, 0.5, 0.7, 0.9, 0.99]))
def test_structure_margins_are_positive_exactly_where_the_share_is_won(seed, space, point, share):
    task, (logits, truth) = task_of(point), draw(seed, space)
    decided = task.decide(logits)
    for goal, won in (
        (Erase(name="tumour", share=share), decided != 2),
        (Relabel(name="organ", to="tumour", share=share), decided == 2),
    ):
        there = truth == task.output(goal.name)
        places = there.flatten(1).sum(1)
        lost = (there & won).flatten(1).sum(1)
        reached = (lost.double() > share * places.double() + 1e-9) & (places > 0)
        assert torch.equal(goal.margin(task, logits, truth) > 0, reached)
        assert torch.equal(goal.applies(task, truth), places > 0)
        each = goal.margins(task, logits, truth)
        assert torch.equal(each > 0, there & won)


@few
@given(seed=seeds, space=SPACES, point=POINTS, below=st.sampled_from([0.3, 0.5, 0.8, 1.0]))
def test_damage_is_reached_exactly_below_its_dice(seed, space, point, below):
    task, (logits, truth) = task_of(point), draw(seed, space)
    goal = Damage(below=below)
    found = task.agreement(logits, truth)
    torch.testing.assert_close(goal.margin(task, logits, truth), below - found)
    assert torch.equal(goal.margin(task, logits, truth) > 0, found < below)
    assert torch.equal(goal.margins(task, logits, truth) > 0, task.decide(logits) != truth)


def test_the_margin_of_damage_has_the_gradient_of_the_soft_dice():
    logits, truth = draw(1)
    leaf = logits.double().requires_grad_()
    (gradient,) = torch.autograd.grad(Damage().margin(task_of(), leaf, truth).sum(), leaf)
    likely, there = leaf.softmax(1), F.one_hot(truth, 3).movedim(-1, 1)
    over = (2, 3)
    soft = (2 * (likely * there).sum(over) + 1e-5) / (likely.sum(over) + there.sum(over) + 1e-5)
    present = there.sum(over)[:, 1:] > 0
    mean = (soft[:, 1:] * present).sum(1) / present.sum(1)
    (expected,) = torch.autograd.grad(-mean.sum(), leaf)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("goal", [Erase(name="tumour"), Relabel(name="organ", to="tumour"), Damage()], ids=repr)
@pytest.mark.parametrize("space", [(5, 6), (3, 4, 3)], ids=["2-D", "3-D"])
def test_climbing_the_objective_reaches_the_goal(goal, space):
    task, (logits, truth) = task_of((0.5, -0.5, 1.0)), draw(3, space)
    rows = goal.applies(task, truth)
    assert rows.sum() >= 3
    for _ in range(60):
        logits = logits.detach().requires_grad_()
        before = goal.objective(task, logits, truth)
        (gradient,) = torch.autograd.grad(before.sum(), logits)
        logits = logits + 20 * gradient
        assert (goal.objective(task, logits, truth)[rows] > before[rows]).all()
    assert (goal.margin(task, logits, truth)[rows] > 0).all()


def test_what_goals_say_and_where_they_look():
    task, (logits, truth) = task_of(), draw(5)
    assert Erase(name="tumour").describe() == "erase more than 0.9 of 'tumour'"
    assert Relabel(name="organ", to="tumour").describe() == "relabel more than 0.9 of 'organ' as 'tumour'"
    assert Damage().describe() == "mean Dice below 0.5"
    away = Erase(name="tumour").entropies(task, logits, truth)
    toward = Relabel(name="tumour", to="organ").entropies(task, logits, truth)
    chance = logits.log_softmax(1)
    torch.testing.assert_close(away, -chance[:, 2].where(truth == 2, 0))
    torch.testing.assert_close(toward, chance[:, 1].where(truth == 2, 0))
    full = F.cross_entropy(logits, truth, reduction="none")
    torch.testing.assert_close(Damage().entropies(task, logits, truth), full)


def test_goals_are_read_from_words():
    task = task_of()
    assert parse_goal("untargeted", task) == untargeted(task) == Damage()
    assert parse_goal("erase:tumour", task) == Erase(name="tumour")
    assert parse_goal("relabel:tumour:organ", task) == Relabel(name="tumour", to="organ")
    strange = make_task("segmentation", ["a", "b:c", "d"])
    assert parse_goal("relabel:b:c:d", strange) == Relabel(name="b:c", to="d")
    assert parse_goal("erase:b:c", strange) == Erase(name="b:c")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: parse_goal("erase:liver", task_of()), "class must be one of .*tumour; got 'liver'"),
        (lambda: parse_goal("relabel:organ", task_of()), "class must be one of background, organ, tumour; got ''"),
        (
            lambda: parse_goal("reach:organ", task_of()),
            "goal of a segmentation model must be one of untargeted, erase:NAME, relabel:NAME:TO; got 'reach:organ'",
        ),
        (lambda: make_task("segmentation", ["a"]), r"segmentation task needs at least 2 classes, got \['a'\]"),
        (lambda: Erase(name="a", share=1), r"share must lie in \[0, 1\), got 1"),
        (lambda: Relabel(name="a", to="a"), "to must be another class than 'a'"),
        (lambda: Damage(below=0), r"below must lie in \(0, 1\], got 0"),
        (
            lambda: task_of().check_targets(torch.zeros(2, 3)),
            r"whole numbers \[N, \*space\] .*, got torch.float32 \[2, 3\]",
        ),
        (lambda: task_of().check_targets(torch.full((1, 2, 2), 3)), r"targets must lie in 0..2, got 3..3"),
    ],
)
def test_refuses_what_has_no_meaning(make, message):
    with pytest.raises(InputError, match=message):
        make()
