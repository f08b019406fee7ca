"""BIM and the margin loss in a linf ball: closed form, Foolbox, and what they share with PGD."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures

from aseptic.attacks import BIM, PGD, CWLinf, Threat, run
from aseptic.core.errors import InputError
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll

NORMS = pytest.mark.parametrize(("norm", "radius", "dual"), [("linf", 0.01, 1), ("l2", 0.1, 2), ("l1", 0.3, math.inf)])


@NORMS
@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])
@pytest.mark.parametrize("attack", [BIM(stop=False), CWLinf()], ids=repr)
def test_reaches_the_linear_optimum(shape, norm, radius, dual, attack):
    if norm not in attack.norms:
        pytest.skip("another norm")
    model, images = linear(shape), torch.full((4, *shape), 0.5)
    result = run(attack, model, images, torch.ones(4, dtype=torch.long), Threat(Avoid(), Ball(norm, radius)))
    drop = (answers(model, images) - result.logits)[:, 1]
    best = radius * float(torch.linalg.vector_norm(model.module.weight.detach().flatten(), dual))
    torch.testing.assert_close(drop, torch.full_like(drop, best), rtol=2e-3 if norm == "l1" else 1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_bim_is_pgd_without_a_random_start(norm):
    model, images = net(), pictures((12, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball(norm, 0.1))
    pgd = PGD(steps=10, step=0.125, random_start=False)
    found = [run(attack, model, images, targets, threat) for attack in (BIM(), pgd)]
    assert torch.equal(found[0].images, found[1].images)
    assert found[0].cost.forwards == found[1].cost.forwards


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_cw_is_pgd_on_the_margin(task):
    model, images = net(task=task), pictures((12, 1, 8, 8))
    logits = answers(model, images)
    targets = logits.argmax(1) if task == "multiclass" else (logits > 0).float()
    threat = Threat(Avoid() if task == "multiclass" else FlipAll(), Ball("linf", 0.03 if task == "multiclass" else 0.5))
    pgd = PGD(steps=20, step=0.1, random_start=False, loss="margin", confidence=100)
    found = [run(attack, model, images, targets, threat) for attack in (CWLinf(), pgd)]
    assert torch.equal(found[0].images, found[1].images)
    first = run(CWLinf(confidence=0), model, images, targets, threat)
    assert torch.equal(first.success, found[0].success), "it is the same path, left earlier"
    assert first.cost.forwards < found[0].cost.forwards
    assert (first.margin[first.success] <= found[0].margin[first.success] + 1e-6).all()


def test_cw_is_what_cleverhans_style_code_does():
    """The margin climbed by hand: sign steps of a tenth, clipped to the ball and to [0, 1], the best one kept."""
    model, images = net(), pictures((8, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    lower, upper = (images - 0.03).clamp(min=0), (images + 0.03).clamp(max=1)
    found, best, margin = images, images, torch.full((8,), -torch.inf)
    for _ in range(20):
        leaf = found.clone().requires_grad_()
        logits = model(leaf)
        true = logits.gather(1, targets[:, None])[:, 0]
        gap = logits.scatter(1, targets[:, None], -torch.inf).amax(1) - true
        best = torch.where((gap > margin)[:, None, None, None], found, best)
        margin = torch.maximum(margin, gap.detach())
        found = (found + 0.003 * torch.autograd.grad(gap.sum(), leaf)[0].sign()).clamp(lower, upper)
    result = run(CWLinf(), model, images, targets, Threat(Avoid(), Ball("linf", 0.03)))
    expected = torch.where((margin > 0)[:, None, None, None], best, found)
    assert 0 < result.success.sum() < 8
    torch.testing.assert_close(result.images, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b")], ids=repr)
def test_foolbox_gives_the_same_images(goal):
    fb = pytest.importorskip("foolbox", reason="foolbox is not installed")
    model, images = net(), pictures((24, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    criterion = (
        fb.criteria.Misclassification(targets)
        if goal == Avoid()
        else fb.criteria.TargetedMisclassification(torch.ones_like(targets))
    )
    theirs = fb.attacks.LinfBasicIterativeAttack(rel_stepsize=0.125, steps=10, random_start=False)
    expected = theirs.run(fb.PyTorchModel(model, bounds=(0, 1)), images, criterion, epsilon=0.03).detach()
    found = run(BIM(stop=False), model, images, targets, Threat(goal, Ball("linf", 0.03)))
    torch.testing.assert_close(found.images[found.eligible], expected[found.eligible], rtol=0, atol=1e-5)


def test_torchattacks_gives_the_same_images():
    torchattacks = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    model, images = net(), pictures((24, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    expected = torchattacks.BIM(model, eps=0.03, alpha=0.03 / 8, steps=10)(images, targets)
    found = run(BIM(stop=False), model, images, targets, Threat(Avoid(), Ball("linf", 0.03)))
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("kind", [BIM, CWLinf])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"step": -0.1}, "step must be a positive fraction of the radius, got -0.1"),
        ({"confidence": -1}, "confidence must be a number of at least 0, got -1"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
