"""Foolbox as oracle for the minimum-norm attacks: the same network, images and number of steps; distances compared."""

import pytest
import torch
from nets import answers
from victims import blobs, train_victim

from aseptic.attacks import CWL2, DDN, FMN, DeepFool, Threat, run
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach

fb = pytest.importorskip("foolbox", reason="foolbox is not installed")
PAIRS = [
    ("l2", CWL2(searches=4, steps=80, first_weight=1), fb.attacks.L2CarliniWagnerAttack(4, 80, initial_const=1)),
    ("l2", DeepFool(), fb.attacks.L2DeepFoolAttack()),
    ("linf", DeepFool(), fb.attacks.LinfDeepFoolAttack()),
    ("l2", DDN(), fb.attacks.DDNAttack()),
    ("l1", FMN(), fb.attacks.L1FMNAttack()),
    ("l2", FMN(), fb.attacks.L2FMNAttack()),
    ("linf", FMN(), fb.attacks.LInfFMNAttack()),
]
RUNS = [(Avoid(), *pair) for pair in PAIRS] + [
    (Reach(name="b"), *pair)
    for pair in PAIRS
    if not isinstance(pair[1], DeepFool)  # theirs knows no target class
]


@pytest.mark.parametrize(("goal", "norm", "ours", "theirs"), RUNS, ids=lambda value: str(value)[:20])
def test_is_as_near_and_succeeds_as_often(goal, norm, ours, theirs):
    model, (images, kinds) = train_victim().model, blobs(24, seed=2)
    criterion = fb.criteria.Misclassification(kinds)
    if isinstance(goal, Reach):
        criterion = fb.criteria.TargetedMisclassification(torch.ones_like(kinds))
    passes = []
    handle = model.module.register_forward_hook(lambda _, args, __: passes.append(len(args[0])))
    expected = theirs.run(fb.PyTorchModel(model, bounds=(0, 1)), images, criterion)
    handle.remove()
    margin = goal.margin(model.task, answers(model, expected), kinds)
    result = run(ours, model, images, kinds, Threat(goal, Ball(norm, 1e3)))
    rows = result.eligible
    assert result.success[rows].float().mean() >= (margin > 0)[rows].float().mean()
    both = rows & (margin > 0)
    distance = Ball(norm, 1).size(expected - images)
    assert both.sum() > len(images) / 4, "the comparison must be about enough images"
    assert result.distance[both].median() <= 1.02 * distance[both].median()
    assert result.cost.forwards <= 1.05 * sum(passes)
