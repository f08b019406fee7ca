"""FAB against closed forms, other implementations and its own promises."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures

from aseptic.attacks import APGDCE, FAB, FABT, Threat, run
from aseptic.core.errors import InputError
from aseptic.ops.balls import DUAL, Ball
from aseptic.ops.box import to_plane_in_box
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Suppress

BOTH = pytest.mark.parametrize("kind", [FAB, FABT])
NORMS = pytest.mark.parametrize(("norm", "wide"), [("linf", 1.0), ("l2", 10.0), ("l1", 100.0)])


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])
@NORMS
@BOTH
def test_finds_the_distance_to_a_linear_boundary(shape, norm, wide, kind):
    model = linear(shape)
    images = (pictures((6, *shape)) * 1.5 - 0.25).clamp(0, 1)  # many values on a bound
    margin = answers(model, images)[:, 1]
    targets = (margin > 0).long()
    result = run(kind(steps=10), model, images, targets, Threat(Avoid(), Ball(norm, wide)))
    weight = model.module.weight.detach()
    assert result.success.all()
    shortest = Ball(norm, 1).size(to_plane_in_box(images, weight.expand_as(images), margin, norm))
    torch.testing.assert_close(result.distance, shortest, rtol=5e-3, atol=2e-4)
    unbounded = margin.abs() / float(torch.linalg.vector_norm(weight.flatten(), DUAL[norm]))
    assert (result.distance > unbounded - 1e-4).all()


@NORMS
@BOTH
def test_as_near_as_torchattacks(norm, wide, kind, victim):
    """Medians at most 2 % above the other implementation's; all images are fooled."""
    peer = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    if norm == "l1":
        pytest.skip("the other implementation stops with an error in l1")
    images, targets = victim.images[:40], victim.targets[:40]
    ours = run(kind(steps=15), victim.model, images, targets, Threat(Avoid(), Ball(norm, wide)))
    how = {"multi_targeted": True, "n_classes": 5} if kind is FABT else {}
    theirs = peer.FAB(victim.model, norm=norm.capitalize(), eps=wide, steps=15, **how)(images, targets)
    assert (answers(victim.model, theirs).argmax(1) != targets).all()
    assert ours.success.all()
    assert ours.distance.median() < 1.02 * Ball(norm, 1).size(theirs - images).median()


@NORMS
def test_agrees_with_a_search_inside_budgets(norm, wide, victim):
    """Half of the images have an adversarial example inside the median distance, and Auto-PGD finds it there."""
    images, targets = victim.images[:40], victim.targets[:40]
    nearest = run(FABT(steps=20), victim.model, images, targets, Threat(Avoid(), Ball(norm, wide)))
    radius = float(nearest.distance.median())
    found = run(APGDCE(steps=40), victim.model, images, targets, Threat(Avoid(), Ball(norm, radius)))
    assert abs(int(found.success.sum()) - 20) <= 2


@BOTH
def test_costs_two_passes_a_step_and_one_backward_for_each_class(kind, victim):
    images, targets = victim.images[:6], victim.targets[:6]
    cost = run(kind(steps=7, refine=2), victim.model, images, targets, Threat(Avoid(), Ball("l2", 10.0))).cost
    searches, classes = (1, 4) if kind is FAB else (4, 1)
    ranked = kind is FABT
    assert cost.forwards == 6 * (1 + ranked + 2 * 7 * searches + 2)
    assert cost.backwards == 6 * 7 * searches * classes


@NORMS
def test_what_lies_outside_the_budget_is_brought_into_it(norm, wide, victim):
    images, targets = victim.images[:30], victim.targets[:30]
    free = run(FAB(steps=10), victim.model, images, targets, Threat(Avoid(), Ball(norm, wide)))
    small = Ball(norm, float(free.distance.median()))
    bound = run(FAB(steps=10), victim.model, images, targets, Threat(Avoid(), small))
    inside = free.distance <= small.radius
    assert torch.equal(bound.images[inside], free.images[inside])
    assert bound.success[inside].all()
    assert 0 < inside.sum() < 30
    brought = (images + small.project(free.images - images)).clamp(0, 1)[~inside]
    torch.testing.assert_close(bound.images[~inside], brought)


def test_restarts_and_refining_only_come_nearer(victim):
    images, targets, threat = victim.images[:40], victim.targets[:40], Threat(Avoid(), Ball("l1", 100.0))
    rough, plain, more = (
        run(attack, victim.model, images, targets, threat).distance
        for attack in (FAB(steps=15, refine=0), FAB(steps=15), FAB(steps=15, restarts=3))
    )
    assert (plain <= rough).all()
    assert (plain < rough).any()
    assert (more <= plain * 1.01).all(), "the last search begins elsewhere"
    assert (more < 0.99 * plain).any()


def test_stopping_saves_passes_and_loses_nothing(victim):
    images, targets, threat = victim.images[:40], victim.targets[:40], Threat(Avoid(), Ball("linf", 0.05))
    whole, early = (run(FABT(steps=10, stop=stop), victim.model, images, targets, threat) for stop in (False, True))
    assert 0 < early.success.sum() < 40
    assert torch.equal(early.success, whole.success)
    assert early.cost.forwards < 0.8 * whole.cost.forwards


def test_neighbours_change_nothing(victim):
    images, targets, threat = victim.images[:12], victim.targets[:12], Threat(Avoid(), Ball("l2", 1.0))
    names, attack = [f"image {row}" for row in range(12)], FAB(steps=5, restarts=2)
    together = run(attack, victim.model, images, targets, threat, ids=names)
    apart = run(attack, victim.model, images[5:9], targets[5:9], threat, ids=names[5:9], batch_size=3)
    torch.testing.assert_close(apart.images, together.images[5:9], rtol=0, atol=1e-4)


@BOTH
def test_an_image_that_is_wrong_already_stays_as_it_is(kind):
    model, images = net(), pictures((6, 1, 8, 8))
    wrong = (answers(model, images).argmax(1) + 1) % 3
    result = run(kind(), model, images, wrong, Threat(Avoid(), Ball("l2", 1.0)))
    assert torch.equal(result.images, images)
    assert result.cost.forwards == len(images)


@BOTH
def test_other_goals(kind):
    model, images = net(), pictures((10, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    found = run(kind(steps=20), model, images, targets, Threat(Reach(name="b"), Ball("l2", 5.0)))
    assert found.success[found.eligible].all()
    model = net(task="multilabel")
    findings = (answers(model, images) > 0).float()
    findings[:, 1] = torch.nan
    for goal in (FlipAll(), Suppress(name="a")):
        found = run(kind(steps=20), model, images, findings, Threat(goal, Ball("l2", 5.0)))
        assert found.eligible.any()
        assert found.success[found.eligible].all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        ({"refine": -1}, "refine must be a whole number of at least 0, got -1"),
        ({"bias": 1.0}, r"bias must lie in \[0, 1\), got 1.0"),
        ({"back": math.nan}, r"back must lie in \[0, 1\), got nan"),
        ({"overshoot": 0.9}, "overshoot must be a number of at least 1, got 0.9"),
        ({"classes": 0}, "classes must be a whole number of at least 1, got 0"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        FABT(**options)
