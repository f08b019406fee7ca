"""What every evasion attack of the catalogue promises, on images and on volumes, for both tasks."""

import pytest
import torch
from nets import answers, net

from aseptic.attacks import ATTACKS, Threat, run
from aseptic.attacks.base import Counted
from aseptic.core.rng import stream
from aseptic.ops.balls import ORDER, Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress

CASES = {"fgsm": {}, "pgd": {"steps": 5, "stop": False}}
RADIUS = {"linf": 0.02, "l2": 0.2, "l1": 0.1}
GOALS = [Avoid(), Reach(name="b"), Suppress(name="a"), Inject(name="c"), FlipAll()]
EACH = pytest.mark.parametrize("name", sorted(CASES))
SHAPES = pytest.mark.parametrize("shape", [(4, 1, 8, 8), (3, 1, 4, 6, 5)], ids=["2-D", "3-D"])


def case(shape, goal=GOALS[0]):
    model = net(len(shape) - 2, task=goal.task)
    images = torch.rand(shape, generator=stream(1)).round()  # every value on a bound
    logits = answers(model, images)
    if goal.task == "multiclass":
        return model, images, torch.where(logits.argmax(1) == 1, 0, logits.argmax(1))
    targets = (logits > 0).float()
    targets[:, 0], targets[:, 2] = 1, 0
    return model, images, targets


def test_every_attack_has_a_case():
    assert set(CASES) == set(ATTACKS.table)


@EACH
@pytest.mark.parametrize("norm", sorted(ORDER))
@pytest.mark.parametrize("goal", GOALS, ids=repr)
@SHAPES
def test_laws(name, norm, goal, shape):
    method = ATTACKS.load(name)(**CASES[name])
    model, images, targets = case(shape, goal)
    before, state, labels = images.clone(), torch.get_rng_state(), targets.clone()
    threat = Threat(goal, Ball(norm, RADIUS[norm]))
    first = run(method, model, images, targets, threat, seed=2)
    again = run(method, model, images, targets, threat, seed=2)
    assert torch.equal(first.images, again.images), "same stream, same result"
    assert torch.equal(images, before), "the caller's images are not written to"
    assert torch.equal(targets, labels), "nor are the targets"
    assert torch.equal(state, torch.get_rng_state()), "the global random state is not used"
    assert first.eligible.all()
    objective = goal.objective
    gain = objective(model.task, first.logits, targets) - objective(model.task, answers(model, images), targets)
    assert (gain > 0).all(), "every image moved towards the goal"
    assert first.cost.forwards >= first.cost.backwards > 0, "passes are counted"


@EACH
@SHAPES
def test_the_model_is_left_as_it_was(name, shape):
    model, images, targets = case(shape)
    model.train()
    model.module.conv.eval()
    model.module.head.weight.requires_grad_(requires_grad=False)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    modes = {key: module.training for key, module in model.named_modules()}
    threat = Threat(Avoid(), Ball("linf", 0.02))
    run(ATTACKS.load(name)(**CASES[name]), model, images, targets, threat)
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert {key: module.training for key, module in model.named_modules()} == modes
    flags = {key: parameter.requires_grad for key, parameter in model.named_parameters()}
    assert [key for key, flag in flags.items() if not flag] == ["module.head.weight"]
    assert all(parameter.grad is None for parameter in model.parameters()), "no gradient is left on the model"


@EACH
@pytest.mark.parametrize("norm", sorted(ORDER))
def test_without_the_guard_an_attack_keeps_its_manners_too(name, norm):
    """`run` hands over copies and a frozen model; a method must not need either."""
    model, images, targets = case((4, 1, 8, 8))
    before, method = images.clone(), ATTACKS.load(name)(**CASES[name])
    threat, rng = Threat(Avoid(), Ball(norm, RADIUS[norm])), [stream(0, row) for row in range(4)]
    found = method.perturb(Counted(model), images, targets, threat, rng=rng)
    assert torch.equal(images, before), "the images are not written to"
    assert not images.requires_grad
    assert not found.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters()), "no gradient is left on the model"
