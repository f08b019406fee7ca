"""Attacks on detectors: single cells whose optimum is known, the papers' formulas, what is refused."""

import math

import pytest
import torch
from detecting import CELL, EDGE, STEEP, cells, detnet, grid, objects
from nets import answers, batch_of, pictures
from torch import nn
from torch.nn import functional as F

from aseptic.attacks import (
    BIM,
    DAG,
    FGSM,
    FMN,
    PGD,
    TOG,
    DPatch,
    Patch,
    Threat,
    control_noise,
    run,
    train_sticker,
    train_universal,
)
from aseptic.attacks.tog import objectness
from aseptic.core.errors import ContractError, InputError
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.ops.windows import Window
from aseptic.tasks.detection import outcome
from aseptic.tasks.detection_goals import Disrupt, Fabricate, Mislabel, Vanish
from aseptic.tasks.multiclass import Avoid

RADIUS = 0.1
INSIDE = [
    FGSM(),
    BIM(steps=8, step=0.25, stop=False),
    PGD(steps=8, stop=False, random_start=False),
    TOG(steps=8, stop=False, random_start=False),
    TOG(steps=12, stop=False),
]


def lit(count=4, channels=2):
    """Return a model of cells, pictures of four cells each, and the objects that it sees in them."""
    model = cells(channels)
    images = 0.15 + 0.6 * pictures((count, channels, 8, 8), seed=5)
    level = F.interpolate(0.3 * pictures((count, channels, 2, 2), seed=6) - 0.15, scale_factor=CELL)
    images = (images - F.interpolate(F.avg_pool2d(images, CELL), scale_factor=CELL)) * 0.3 + EDGE + level
    return model, images, model.task.decide(answers(model, images))[:, : 4 * channels]


def heights(images):
    """Return how far the mean of each channel in each cell lies above the edge, ``[image, channel, cell]``."""
    return F.avg_pool2d(images, CELL).flatten(2) - EDGE


def seen(truth, label):
    """Return which cell has an object of the class, ``[image, cell]``."""
    boxes = grid(2, 2)
    return torch.stack([((truth[:, :, 1:] == box).all(2) & (truth[..., 0] == label)).any(1) for box in boxes], 1)


@pytest.mark.parametrize("attack", INSIDE, ids=lambda one: repr(one)[:24])
def test_vanishing_reaches_the_optimum(attack):
    """Within linf ``r`` a mean falls by ``r`` and no further: the best margin is ``w (r - highest)``."""
    model, images, truth = lit()
    covered = seen(truth, 0) | seen(truth, 1)
    highest = heights(images).amax(1).masked_fill(~covered, -math.inf).amax(1)
    assert covered.any(1).all()
    for radius in (RADIUS, float(highest.median())):
        found = run(attack, model, images, truth, Threat(Vanish(), Ball("linf", radius)))
        torch.testing.assert_close(found.margin, STEEP * (radius - highest), rtol=0, atol=1e-4)
    assert 0 < found.success.sum() < len(images), "the case must contain both outcomes"


@pytest.mark.parametrize("attack", INSIDE, ids=lambda one: repr(one)[:24])
def test_mislabelling_reaches_the_optimum(attack):
    """Its own class falls by ``r``, the other rises by ``r``: of each object the worse counts, and the worst object."""
    model, images, truth = lit()
    goal = Mislabel(name="cell", to="artefact")
    own, other = heights(images).unbind(1)
    each = torch.minimum(other + RADIUS, RADIUS - own).masked_fill(~seen(truth, 0), math.inf).amin(1)
    found = run(attack, model, images, truth, Threat(goal, Ball("linf", RADIUS)))
    assert found.eligible.sum() >= 3
    torch.testing.assert_close(found.margin[found.eligible], STEEP * each[found.eligible], rtol=0, atol=1e-4)


@pytest.mark.parametrize("attack", INSIDE, ids=lambda one: repr(one)[:24])
def test_fabricating_reaches_the_optimum(attack):
    model, images, _ = lit(channels=1)
    truth, goal = objects(*[[(0, 0, 0, 4, 4)]] * 4), Fabricate(count=2)
    free = heights(images)[:, 0, 1:].sort(descending=True).values[:, 1]
    found = run(attack, model, images, truth, Threat(goal, Ball("linf", RADIUS)))
    torch.testing.assert_close(found.margin, STEEP * (free + RADIUS), rtol=0, atol=1e-4)


def test_tog_climbs_the_papers_losses():
    """All candidates towards none, all towards one, the true objects with another label, away from the true ones."""
    model, images, truth = lit()
    task, logits = model.task, answers(model, images)
    z = logits[:, :2]
    focal = (z.sigmoid() ** 2 * F.softplus(z)).flatten(1).sum(1)
    torch.testing.assert_close(objectness(Vanish(), task, logits, truth), -focal)
    free = ~(seen(truth, 0) | seen(truth, 1))
    expected = (-F.softplus(-z.amax(1)) * free).sum(1) / free.sum(1).clamp(min=1)
    torch.testing.assert_close(objectness(Fabricate(), task, logits, truth), expected)
    renamed = truth.clone()
    renamed[..., 0] = torch.where(truth[..., 0] == 0, 1, truth[..., 0])
    goal = Mislabel(name="cell", to="artefact")
    torch.testing.assert_close(objectness(goal, task, logits, truth), -task.loss(logits, renamed))
    torch.testing.assert_close(objectness(Disrupt(), task, logits, truth), task.loss(logits, truth))


def test_dag_leaves_a_candidate_alone_once_it_is_won():
    """A cell is darkened by whole steps until its logit is below the threshold, and no further."""
    model, images, truth = lit()
    step = 0.01
    found = run(DAG(step=step, steps=60), model, images, truth, Threat(Vanish(), Ball("linf", 0.5)))
    assert found.success.all()
    needed = (heights(images) / step).ceil().clamp(min=0) * (seen(truth, 0) | seen(truth, 1))[:, None]
    moved = F.avg_pool2d(images - found.images, CELL).flatten(2) / step
    torch.testing.assert_close(moved, needed, rtol=0, atol=1e-2)


def test_dpatch_draws_attention_to_the_corner():
    """Where objects are to vanish, the patch becomes one of the class that was asked for, and nothing else changes."""
    model, images, _ = lit()
    truth = objects(*[[(0, 4, 4, 8, 8)]] * 4)
    before = answers(model, images)
    hard = images.clone()
    hard[:, :, 4:, 4:] = 0.9  # an object that no patch in the corner can hide
    found = run(DPatch(steps=30, label=1), model, hard, truth, Threat(Vanish(), Window(0.25)))
    assert not found.success.any()
    assert (found.images[:, 0, :4, :4] == 0).all()
    assert (found.images[:, 1, :4, :4] == 1).all()
    assert torch.equal(found.images[:, :, 4:], hard[:, :, 4:])
    assert torch.equal(found.images[..., 4:], hard[..., 4:])
    first = model.task.decide(found.logits)
    corner = (first[..., 0] == 1) & (first[..., 1:] == torch.tensor([0.0, 0, 4, 4])).all(2)
    assert corner.any(1).all()
    assert torch.equal(answers(model, images), before)


def test_a_patch_invents_and_so_does_a_sticker_for_all():
    model, images, _ = lit(channels=1)
    nothing, goal = objects(*[[]] * 4), Fabricate(count=1)
    images = (images - 0.18).clamp(0, 1)
    threat = Threat(goal, Window(0.25))
    assert not model.task.decide(answers(model, images))[..., 0].ge(0).any(), "there is nothing to see at first"
    for attack in (DPatch(steps=30), Patch(steps=30)):
        found = run(attack, model, images, nothing, threat)
        assert found.success.all()
        assert outcome(model.task.decide(found.logits), nothing).invented.sum(1).tolist() == [1] * 4
    sticker = train_sticker(model, images, nothing, threat, place="corner", restarts=1)
    assert (sticker.patch == 1).all()
    assert run(sticker, model, images, nothing, threat).success.all()
    ball = Threat(goal, Ball("linf", 0.02))
    universal = train_universal(model, images, nothing, ball, restarts=1)
    best = F.avg_pool2d(images, CELL).flatten(1).amax(1)
    torch.testing.assert_close(
        run(universal, model, images, nothing, ball).margin, STEEP * (best + 0.02 - EDGE), rtol=0, atol=1e-3
    )


GOALS = [Vanish(), Vanish(name="b"), Mislabel(name="b", to="a"), Fabricate(count=2), Disrupt()]


@pytest.mark.parametrize("attack", [PGD(), TOG(), BIM(), DAG(step=0.02)], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("goal", GOALS, ids=repr)
def test_an_image_that_fell_is_left_alone(attack, goal):
    model, images = detnet(), 0.2 + 0.6 * pictures((6, 1, 12, 12), seed=9)
    truth = model.task.decide(answers(model, images))[:, :20]
    threat = Threat(goal, Ball("linf", 0.4))
    result = run(attack, model, images, truth, threat)
    assert result.eligible.sum() >= 4
    assert result.success[result.eligible].float().mean() > 0.5
    assert result.cost.backwards < len(images) * attack.steps
    again = run(attack, model, images, truth, threat, batch_size=2)
    assert torch.equal(again.success, result.success), "neighbours do not matter"
    noisy = control_noise(images, result.images)
    harmed = goal.margin(model.task, answers(model, noisy), truth) > 0
    assert (harmed & result.eligible).sum() <= result.success.sum()


def test_no_objects_at_all():
    """There is nothing to hide, but something can be invented; and one image is enough."""
    model, images = detnet(), pictures((3, 1, 8, 8))
    nothing = objects([], [], [])
    for goal in (Vanish(), Disrupt(), Mislabel(name="a", to="b")):
        result = run(PGD(), model, images, nothing, Threat(goal, Ball("linf", 0.1)))
        assert not result.eligible.any()
        assert not result.success.any()
        assert torch.equal(result.images, images)
        assert result.cost.forwards == 0
    single = run(PGD(), model, images[:1], nothing[:1], Threat(Fabricate(count=3), Ball("linf", 0.4)))
    assert single.success.tolist() == [True]
    empty = run(PGD(), model, images[:0], nothing[:0], Threat(Fabricate(), Ball("linf", 0.1)))
    assert empty.logits.shape[:2] == (0, 7)


def test_refuses_what_does_not_fit():
    model, images = detnet(), pictures((2, 1, 8, 8))
    truth, threat = objects([(0, 1, 1, 4, 4)], [(1, 2, 2, 8, 8)]), Threat(Vanish(), Ball("linf", 0.1))
    with pytest.raises(
        InputError, match=r"boxes must lie inside the image of 8 x 8 pixels, got \[2.0, 2.0, 9.0, 8.0\] in '1'"
    ):
        run(PGD(), model, images, objects([], [(1, 2, 2, 9, 8)]), threat)
    with pytest.raises(InputError, match=r"labels must be whole numbers in 0..2, or -1 for no object; got 3"):
        run(PGD(), model, images, objects([(3, 1, 1, 4, 4)], []), threat)
    with pytest.raises(InputError, match="boxes must have an area"):
        run(PGD(), model, images, objects([(0, 1, 1, 1, 4)], []), threat)
    with pytest.raises(InputError, match="targets must be one for each of 2 images, got 1"):
        run(PGD(), model, images, truth[:1], threat)
    with pytest.raises(InputError, match=r"FMN serves .*, got detection; attacks that can: .*dag.*pgd.*tog"):
        run(FMN(), model, images, truth, threat)
    with pytest.raises(InputError, match="must be one of Vanish, Mislabel, Fabricate, Disrupt; got Avoid"):
        run(PGD(), model, images, truth, Threat(Avoid(), Ball("linf", 0.1)))
    flat = Subject(nn.Sequential(nn.Flatten(), nn.Linear(64, 3)), task="detection", classes=["a", "b", "c"], channels=1)
    with pytest.raises(
        InputError, match=r"3 logits and 4 corners of a box for each candidate \[2, 7, any\], got \[2, 3\]"
    ):
        run(PGD(), flat, images, truth, threat)
    with pytest.raises(
        InputError, match=r"TOG searches budgets in linf, l2, l1, got window; attacks that can: dpatch, patch"
    ):
        run(TOG(), model, images, truth, Threat(Vanish(), Window(0.1)))
    with pytest.raises(InputError, match=r"images with boxes must have 2 space axes, got \[2, 1, 2, 8, 8\]"):
        run(PGD(), model, pictures((2, 1, 2, 8, 8)), truth, threat)
    with pytest.raises(InputError, match=r"label must lie in 0..2, got 3"):
        run(DPatch(label=3), model, images, truth, Threat(Vanish(), Window(0.25)))
    with pytest.raises(InputError, match=r"the window must hold a value, 0.001 of \[8, 8\] does not"):
        run(DPatch(), model, images, truth, Threat(Vanish(), Window(0.001)))
    with pytest.raises(ContractError, match="the task must be detection, got multiclass"):
        objectness(Vanish(), Subject(nn.Identity(), task="multiclass", classes=["a", "b"]).task, images, truth)
    assert batch_of(images, truth, threat).at(torch.tensor([1])).targets.shape == (1, 1, 5)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (TOG, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (TOG, {"step": 0}, "step must be a positive fraction of the radius, got 0"),
        (DPatch, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (DPatch, {"step": 2}, r"step must lie in \(0, 1\], in image units, got 2"),
        (DPatch, {"label": -1}, "label must be a class number of at least 0, got -1"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
