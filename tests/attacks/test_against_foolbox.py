"""Foolbox as oracle: the same network, the same settings, the same images."""

import pytest
import torch
from nets import answers, net, pictures

from aseptic.attacks import FGSM, PGD, Threat, run
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach

fb = pytest.importorskip("foolbox", reason="foolbox is not installed")
RADIUS = 0.03


def attack(ours, theirs, goal, criterion):
    model, images = net(), pictures((40, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    found = run(
        ours, model, images, targets, Threat(goal, Ball("linf" if "Linf" in repr(type(theirs)) else "l2", RADIUS))
    )
    wrapped = fb.PyTorchModel(model, bounds=(0, 1))
    with_them = theirs.run(wrapped, images, criterion(targets), epsilon=RADIUS)
    return found, with_them.detach(), model, targets


@pytest.mark.parametrize(
    "theirs", [fb.attacks.LinfFastGradientAttack(), fb.attacks.L2FastGradientAttack()], ids=lambda a: type(a).__name__
)
def test_fgsm_gives_the_same_images(theirs):
    found, expected, _, _ = attack(FGSM(), theirs, Avoid(), fb.criteria.Misclassification)
    torch.testing.assert_close(found.images, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b")], ids=repr)
def test_pgd_climbs_as_high(goal):
    theirs = fb.attacks.LinfPGD(rel_stepsize=0.25, steps=20, random_start=False)
    criterion = (
        fb.criteria.Misclassification
        if goal == Avoid()
        else lambda targets: fb.criteria.TargetedMisclassification(torch.ones_like(targets))
    )
    ours = PGD(steps=20, step=0.25, random_start=False, stop=False)
    found, expected, model, targets = attack(ours, theirs, goal, criterion)
    rows = found.eligible
    theirs_margin = goal.margin(model.task, answers(model, expected), targets)[rows]
    torch.testing.assert_close(found.margin[rows], theirs_margin, rtol=0, atol=0.02)
    same = ((found.images - expected).abs() < 1e-5)[rows].float().mean()
    assert same > 0.98, "but for values whose gradient is zero to rounding"
    assert 0.1 < found.success[rows].float().mean() < 0.9, "the case must contain both outcomes"
