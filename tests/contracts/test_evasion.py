"""What every evasion attack of the catalogue promises, on images and on volumes, for every task."""

from itertools import product

import pytest
import torch
from nets import answers, batch_of, net, segnet

from aseptic.attacks import ATTACKS, Gradients, LabelOnly, Scores, Threat, run
from aseptic.attacks.base import Counted
from aseptic.attacks.catalogue import unfit
from aseptic.core.rng import stream
from aseptic.ops.balls import ORDER, Ball
from aseptic.ops.windows import Window
from aseptic.tasks.make import make_task
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress
from aseptic.tasks.segmentation import Damage, Erase, Relabel

CASES = {
    "alma-prox": {"steps": 10},
    "autoattack": {"steps": 5, "queries": 50},
    "boundary": {"queries": 80},
    "cospgd": {"steps": 5, "stop": False},
    "dag": {"steps": 10},
    "fab": {"steps": 5},
    "fab-t": {"steps": 5},
    "hopskipjump": {"queries": 80, "probes": 10},
    "patch": {"steps": 8},
    "segpgd": {"steps": 5, "stop": False},
    "simba": {"queries": 80},
    "square": {"queries": 80},
    "apgd-ce": {"steps": 5, "stop": False},
    "apgd-dlr": {"steps": 5, "stop": False},
    "apgd-t": {"steps": 5, "stop": False},
    "cw-l2": {"searches": 2, "steps": 8, "step": 0.5, "first_weight": 10},
    "ddn": {"steps": 10},
    "deepfool": {"steps": 5},
    "fgsm": {},
    "fmn": {"steps": 10},
    "pgd": {"steps": 5, "stop": False},
    "bim": {"steps": 5, "stop": False},
    "cw-linf": {"steps": 5},
    "mi-fgsm": {"steps": 4},
    "ni-fgsm": {"steps": 4},
    "di-fgsm": {"steps": 4},
    "ti-fgsm": {"steps": 4, "kernel": 3},
    "si-fgsm": {"steps": 3},
    "vmi-fgsm": {"steps": 3, "neighbours": 2},
    "sia": {"steps": 3, "copies": 4, "blocks": 2, "noise": 0.0},
    "svre": {"steps": 3, "inner": 3},
}
FAR = 1000
"""Factor on the radius for attacks by decision, which know nothing of a way that they have not gone to its end."""
RADIUS = {"linf": 0.02, "l2": 0.2, "l1": 0.1, "window": 0.1}
GOALS = [Avoid(), Reach(name="b"), Suppress(name="a"), Inject(name="c"), FlipAll()]
GOALS += [Erase(name="b"), Relabel(name="b", to="a"), Damage()]
EACH = pytest.mark.parametrize("name", sorted(CASES))
SHAPES = pytest.mark.parametrize("shape", [(4, 1, 8, 8), (3, 1, 4, 6, 5)], ids=["2-D", "3-D"])


def case(shape, goal=GOALS[0]):
    space = len(shape) - 2
    model = segnet(space) if goal.task == "segmentation" else net(space, task=goal.task)
    images = torch.rand(shape, generator=stream(1)).round()  # every value on a bound
    logits = answers(model, images)
    if goal.task == "segmentation":
        return model, images, logits.argmax(1)
    if goal.task == "multiclass":
        return model, images, torch.where(logits.argmax(1) == 1, 0, logits.argmax(1))
    targets = (logits > 0).float()
    targets[:, 0], targets[:, 2] = 1, 0
    return model, images, targets


def budget(norm, radius):
    return Window(radius) if norm == "window" else Ball(norm, radius)


def goal_for(kind):
    """Return a goal of the first task that the attack serves."""
    return next(goal for goal in GOALS if goal.task == kind.tasks[0])


def interface(kind):
    """Return the interface that shows the attack no more than it needs."""
    return {"gradients": Gradients, "scores": Scores, "decisions": LabelOnly}[kind.needs]()


def threat_for(kind, norm, goal):
    """Return a threat in which the attack has a chance."""
    radius = RADIUS[norm] * (FAR if kind.needs == "decisions" and norm in ORDER else 1)
    return Threat(goal, budget(norm, radius), interface(kind))


def served():
    """Return every combination that an attack serves: that it refuses the others is tested beside the catalogue."""
    kinds = {name: ATTACKS.load(name) for name in sorted(CASES)}
    tasks = {goal.task: make_task(goal.task, ["a", "b", "c"]) for goal in GOALS}
    return [
        pytest.param(name, norm, goal, id=f"{name}-{norm}-{goal!r}")
        for (name, kind), norm, goal in product(kinds.items(), [*sorted(ORDER), "window"], GOALS)
        if unfit(kind, threat_for(kind, norm, goal), tasks[goal.task]) is None
    ]


SERVED = served()


def test_every_attack_serves_its_norms_and_its_tasks():
    assert set(CASES) == set(ATTACKS.table)
    seen = [param.values for param in SERVED]
    for name in CASES:
        kind = ATTACKS.load(name)
        assert {norm for one, norm, _ in seen if one == name} == set(kind.norms)
        assert {goal.task for one, _, goal in seen if one == name} == set(kind.tasks)


@pytest.mark.parametrize(("name", "norm", "goal"), SERVED)
@SHAPES
def test_laws(name, norm, goal, shape):
    method = ATTACKS.load(name)(**CASES[name])
    model, images, targets = case(shape, goal)
    before, state, labels = images.clone(), torch.get_rng_state(), targets.clone()
    threat = threat_for(type(method), norm, goal)
    first = run(method, model, images, targets, threat, seed=2)
    again = run(method, model, images, targets, threat, seed=2)
    assert torch.equal(first.images, again.images), "same stream, same result"
    assert torch.equal(images, before), "the caller's images are not written to"
    assert torch.equal(targets, labels), "nor are the targets"
    assert torch.equal(state, torch.get_rng_state()), "the global random state is not used"
    assert first.eligible.all()
    gains = [
        climbed(model.task, first.logits, targets) - climbed(model.task, answers(model, images), targets)
        for climbed in (goal.objective, goal.margin)  # what an attack climbs is its choice
    ]
    there = goal.margin(model.task, answers(model, images), targets) > 0  # nothing is nearer than the image itself
    assert ((torch.maximum(*gains) > 0) | there).all(), "every image moved towards the goal"
    assert first.cost.forwards * len(model.task.classes) >= first.cost.backwards, "passes are counted"
    assert first.cost.forwards > 0
    if method.needs == "gradients":
        assert first.cost.backwards > 0
    else:
        assert first.cost.backwards == 0, "an attack that asks takes no gradient"
        assert not first.queries.isnan().any(), "and every question is counted"


@EACH
@SHAPES
def test_the_model_is_left_as_it_was(name, shape):
    method = ATTACKS.load(name)(**CASES[name])
    goal = goal_for(type(method))
    model, images, targets = case(shape, goal)
    model.train()
    model.module.conv.eval()
    model.module.head.weight.requires_grad_(requires_grad=False)
    kept = {key: value.clone() for key, value in model.state_dict().items()}
    modes = {key: module.training for key, module in model.named_modules()}
    norm = method.norms[0]
    run(method, model, images, targets, Threat(goal, budget(norm, RADIUS[norm]), interface(type(method))))
    assert all(torch.equal(value, kept[key]) for key, value in model.state_dict().items())
    assert {key: module.training for key, module in model.named_modules()} == modes
    flags = {key: parameter.requires_grad for key, parameter in model.named_parameters()}
    assert [key for key, flag in flags.items() if not flag] == ["module.head.weight"]
    assert all(parameter.grad is None for parameter in model.parameters()), "no gradient is left on the model"


@pytest.mark.parametrize(("name", "norm"), sorted({param.values[:2] for param in SERVED}))
def test_without_the_guard_an_attack_keeps_its_manners_too(name, norm):
    """`run` hands over copies and a frozen model; a method must not need either."""
    method = ATTACKS.load(name)(**CASES[name])
    goal = goal_for(type(method))
    model, images, targets = case((4, 1, 8, 8), goal)
    before = images.clone()
    threat = Threat(goal, budget(norm, RADIUS[norm]), interface(type(method)))
    counted, batch = Counted(model), batch_of(images, targets, threat)
    counted.open(batch)
    found = method.perturb(counted, batch)
    assert torch.equal(images, before), "the images are not written to"
    assert not images.requires_grad
    assert not found.requires_grad
    assert all(p.grad is None and p.requires_grad for p in model.parameters()), "no gradient is left on the model"
