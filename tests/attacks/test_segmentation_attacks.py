"""Attacks on segmentations: a model of single places whose optimum is known, the papers' formulas, a MONAI U-Net."""

import math

import pytest
import torch
from nets import answers, batch_of, pictures, segnet
from segmenting import STEEP, deciding, threshold, unet
from torch import nn

from aseptic.attacks import (
    BIM,
    DAG,
    FGSM,
    FMN,
    PGD,
    ALMAProx,
    CosPGD,
    LabelOnly,
    Scores,
    SegPGD,
    Threat,
    control_noise,
    run,
)
from aseptic.attacks.base import Counted
from aseptic.core.errors import ContractError, InputError
from aseptic.metrics.lesions import missed
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid
from aseptic.tasks.segmentation import Damage, Erase, Relabel

SPACES = pytest.mark.parametrize("space", [(7, 8), (3, 4, 5)], ids=["2-D", "3-D"])


@SPACES
@pytest.mark.parametrize("share", [0.5, 0.9])
@pytest.mark.parametrize(
    "attack",
    [
        FGSM(),
        BIM(steps=8, stop=False),
        PGD(steps=8, stop=False, random_start=False),
        PGD(steps=6, step=1.0, stop=False),
        SegPGD(steps=6, stop=False, random_start=False),
        SegPGD(steps=12, stop=False),
        CosPGD(steps=6, stop=False, random_start=False),
        CosPGD(steps=12, stop=False),
    ],
    ids=lambda attack: repr(attack)[:30],
)
def test_reaches_the_optimum_of_single_places(attack, share, space):
    """Within linf ``r`` no place can be pushed further than ``r``: the best margin is ``w (r - height)``."""
    model, images, truth = threshold(space)
    heights = deciding(images, truth, share)
    radius = float(heights.median())
    goal = Erase(name="organ", share=share)
    result = run(attack, model, images, truth, Threat(goal, Ball("linf", radius)))
    torch.testing.assert_close(result.margin, STEEP * (radius - heights), rtol=0, atol=1e-4)
    assert torch.equal(result.success, heights < radius - 1e-6)
    assert 0 < result.success.sum() < len(images), "the case must contain both outcomes"
    darker = (images - result.images)[truth[:, None] == 0]
    assert not darker.any() or getattr(attack, "random_start", False), "nothing else moves"


def by_hand(kind, model, images, truth, goal):
    """Return what the papers' algorithms give, place by place (linf 0.2, 3 steps of 0.08 from the image itself)."""
    found, steps, step, radius = images, 3, 0.08, 0.2
    for count in range(1, steps + 1):
        leaf = found.clone().requires_grad_()
        logits, total = model(leaf), 0.0
        for place in torch.cartesian_prod(*(torch.arange(n) for n in truth.shape)):
            row, at = int(place[0]), tuple(place[1:].tolist())
            true = int(truth[(row, *at)])
            if not isinstance(goal, Damage) and model.task.classes[true] != goal.name:
                continue
            wanted = model.task.classes.index(goal.to) if isinstance(goal, Relabel) else true
            z = logits[(row, slice(None), *at)]
            entropy, chance = -z.log_softmax(0)[wanted], z.detach().softmax(0)
            won = (int(z.argmax()) == wanted) == isinstance(goal, Relabel)
            if kind == "segpgd":
                late = (count - 1) / (2 * steps)
                weight = late if won else 1 - late
            else:
                cosine = float(torch.nn.functional.cosine_similarity(chance, torch.eye(len(z))[wanted], dim=0))
                weight = 1 - cosine if isinstance(goal, Relabel) else cosine
            total = total + (-1 if isinstance(goal, Relabel) else 1) * weight * entropy
        (gradient,) = torch.autograd.grad(total, leaf)
        found = (images + (found + step * gradient.sign() - images).clamp(-radius, radius)).clamp(0, 1)
    return found


@pytest.mark.parametrize("goal", [Erase(name="b"), Relabel(name="b", to="a"), Damage()], ids=repr)
@pytest.mark.parametrize("kind", ["segpgd", "cospgd"])
@pytest.mark.parametrize("space", [(5, 5), (2, 4, 3)], ids=["2-D", "3-D"])
def test_is_the_papers_algorithm(kind, goal, space):
    model, images = segnet(len(space)), pictures((2, 1, *space), seed=4)
    truth = answers(model, images).argmax(1)
    assert (truth == 1).flatten(1).any(1).all()
    attack = {"segpgd": SegPGD, "cospgd": CosPGD}[kind](steps=3, step=0.4, random_start=False, stop=False)
    result = run(attack, model, images, truth, Threat(goal, Ball("linf", 0.2)))
    expected = by_hand(kind, model, images, truth, goal)
    same = ((result.images - expected).abs() < 1e-5).float().mean()
    assert same > 0.97, "but for values whose gradient is zero to rounding"
    before = goal.objective(model.task, answers(model, images), truth)
    assert (goal.objective(model.task, result.logits, truth) > before).all()


@pytest.mark.parametrize("attack", [PGD(), SegPGD(), CosPGD(), DAG(step=0.01)], ids=lambda one: type(one).__name__)
@pytest.mark.parametrize("goal", [Erase(name="lesion"), Relabel(name="lesion", to="background"), Damage()], ids=repr)
def test_an_image_that_fell_is_left_alone(attack, goal):
    model, images, truth = unet((16, 16))
    threat = Threat(goal, Ball("linf", 0.5))
    result = run(attack, model, images, truth, threat)
    assert result.success.all()
    assert len(images) <= result.cost.backwards < len(images) * attack.steps
    again = run(attack, model, images, truth, threat, batch_size=2)
    assert torch.equal(again.success, result.success), "neighbours do not matter"


@pytest.mark.parametrize("space", [(16, 16), (16, 8, 8)], ids=["2-D", "3-D"])
def test_a_monai_unet_loses_its_lesions_but_not_to_noise(space):
    model, images, truth = unet(space)
    clean = model.task.agreement(answers(model, images), truth)
    assert (clean > 0.8).all(), "it must see them first"
    goal = Erase(name="lesion")
    result = run(SegPGD(steps=60), model, images, truth, Threat(goal, Ball("linf", 0.2)))
    assert result.success.all(), "with steps to spare: what a network learns differs from machine to machine"
    noisy = control_noise(images, result.images)
    assert (goal.margin(model.task, answers(model, noisy), truth) < 0).all()
    found = model.task.decide(result.logits)
    for true, left in zip((truth == 1).numpy(), (found == 1).numpy(), strict=True):
        gone = missed(true, left, share=0.25)
        assert gone.tolist() == [True, True]
    damaged = run(PGD(), model, images, truth, Threat(Damage(), Ball("linf", 0.2)))
    assert (model.task.agreement(damaged.logits, truth) < 0.5).all()
    assert not model.task.correct(damaged.logits, truth).any()


def test_the_answer_has_the_size_of_the_image_that_was_given():
    images, truth = pictures((2, 1, 12, 10)), torch.ones((2, 12, 10), dtype=torch.long)
    model = Subject(segnet().module, task="segmentation", classes=["a", "b", "c"], channels=1, size=(8, 8))
    result = run(PGD(steps=2), model, images, truth, Threat(Damage(), Ball("linf", 0.1)))
    assert result.logits.shape == (2, 3, 12, 10)
    assert result.cost.backwards > 0


def test_what_is_shown_decides_as_the_logits_do():
    model, images = segnet(), pictures((2, 1, 4, 4))
    logits = answers(model, images)
    for interface in (Scores(), Scores(decimals=2), LabelOnly()):
        shown = interface.show(model.task, logits)
        assert shown.shape == logits.shape
        agree = (model.task.decide(shown) == model.task.decide(logits)).float().mean()
        assert agree == 1 or (interface == Scores(decimals=2) and agree > 0.9)


def test_refuses_what_does_not_fit():
    model, images = segnet(), pictures((2, 1, 6, 6))
    truth, threat = torch.ones((2, 6, 6), dtype=torch.long), Threat(Damage(), Ball("linf", 0.1))
    with pytest.raises(InputError, match=r"targets must have the images' size \[6, 6\], got \[6, 5\]"):
        run(PGD(), model, images, truth[:, :, :5], threat)
    with pytest.raises(
        InputError, match=r"FMN serves multiclass and multilabel models, got segmentation; attacks .*segpgd"
    ):
        run(FMN(), model, images, truth, threat)
    with pytest.raises(
        InputError, match="goal of a segmentation model must be one of Erase, Relabel, Damage; got Avoid"
    ):
        run(PGD(), model, images, truth, Threat(Avoid(), Ball("linf", 0.1)))
    flat = Subject(
        nn.Sequential(nn.Flatten(), nn.Linear(36, 3)), task="segmentation", classes=["a", "b", "c"], channels=1
    )
    with pytest.raises(InputError, match=r"for each place of each image and class \[2, 3, 6, 6\], got \[2, 3\]"):
        run(PGD(), flat, images, truth, threat)
    with pytest.raises(ContractError, match="the goal must be one on segmentations, got Avoid"):
        SegPGD().perturb(Counted(model), batch_of(images, truth, Threat(Avoid(), Ball("linf", 0.1))))


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (SegPGD, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (CosPGD, {"step": 0}, "step must be a positive fraction of the radius, got 0"),
        (ALMAProx, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (ALMAProx, {"step": 0}, "step must be a positive number, got 0"),
        (ALMAProx, {"share": 0}, r"share must lie in \(0, 1\], got 0"),
        (DAG, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (DAG, {"step": math.inf}, "step must be a positive number, got inf"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
