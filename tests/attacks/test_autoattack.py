"""AutoAttack against closed forms, planted truths, models that hide, and another implementation."""

import pytest
import torch
from nets import answers, linear, net, pictures
from planted import Misleading, Noisy, Quantised, Scaled, features, plant

from aseptic.attacks import APGDCE, APGDT, FABT, AutoAttack, Square, Threat, run
from aseptic.attacks.battery import UNCHANGED, run_battery
from aseptic.core.errors import InputError
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress

SHORT = AutoAttack(steps=10, queries=100)


def names(battery):
    return {doubt.name for doubt in battery.doubts}


@pytest.mark.parametrize(("norm", "dual"), [("linf", 1), ("l2", 2)])
def test_exactly_the_linear_images_within_reach_fall(norm, dual):
    model, images = linear((1, 6, 6)), pictures((24, 1, 6, 6)) * 0.4 + 0.3
    margin = answers(model, images)[:, 1]
    targets = (margin > 0).long()
    slope = float(torch.linalg.vector_norm(model.module.weight.detach().flatten(), dual))
    radius = float(margin.abs().median()) / slope
    reach = margin.abs() < radius * slope
    clear = (margin.abs() / slope / radius - 1).abs() > 1e-3
    threat = Threat(Avoid(), Ball(norm, radius))
    alone = run(SHORT, model, images, targets, threat)
    battery = run_battery(SHORT.attacks(), model, images, targets, threat)
    for success in (alone.success, battery.result.success):
        assert torch.equal(success[clear], reach[clear])
    assert 9 < reach.sum() < 15
    assert battery.doubts == (), "there is nothing to doubt about a linear model"


@pytest.mark.parametrize("number", range(4))
def test_finds_what_is_planted(number):
    """An adversarial example certainly exists at the budget; one step or noise does not find one."""
    model, image, point = plant(number, 0.1, features())
    threat, targets = Threat(Avoid(), Ball("linf", 0.1)), torch.zeros(1, dtype=torch.long)
    assert answers(model, image).argmax(1) == 0
    assert answers(model, point).argmax(1) == 1
    battery = run_battery(SHORT.attacks(), model, image, targets, threat)
    assert battery.result.success.all()
    assert battery.by[0] in {"apgd-ce", "apgd-t"}
    assert run(SHORT, model, image, targets, threat).success.all()


@pytest.mark.parametrize("number", range(2))
@pytest.mark.parametrize("levels", [8, 16])
def test_a_quantised_input_is_broken_and_doubted(number, levels):
    model, image, _ = plant(number, 0.1, Quantised(features(), levels))
    threat, targets = Threat(Avoid(), Ball("linf", 0.1)), torch.zeros(1, dtype=torch.long)
    battery = run_battery(SHORT.attacks(), model, image, targets, threat)
    assert battery.by == ("square",)
    assert {"masked-gradients", "weaker-is-stronger"} <= names(battery)
    blind = AutoAttack(stages="apgd-ce,apgd-t,fab-t", steps=10)
    battery = run_battery(blind.attacks(), model, image, targets, threat)
    assert battery.by == (None,)
    assert {"masked-gradients", "limitless"} <= names(battery), "what stands is not called robust without a doubt"


def test_gradients_that_mislead_are_doubted():
    for number in range(2):
        model, image, _ = plant(number, 0.1, Misleading(features()))
        threat, targets = Threat(Avoid(), Ball("linf", 0.1)), torch.zeros(1, dtype=torch.long)
        battery = run_battery(SHORT.attacks(), model, image, targets, threat)
        assert battery.by == ("square",)
        assert "weaker-is-stronger" in names(battery)
        assert "masked-gradients" not in names(battery), "they are there, and wrong"


def test_loud_logits_are_broken_and_doubted(victim):
    loud = Subject(Scaled(victim.model.module, 2.0**17), task=victim.model.task, channels=1)
    part, threat = (victim.images[:20], victim.targets[:20]), Threat(Avoid(), Ball("linf", 0.05))
    quiet, scaled = (run_battery(SHORT.attacks(), model, *part, threat) for model in (victim.model, loud))
    assert quiet.doubts == ()
    assert {"flat-loss", "saturated"} <= names(scaled)
    assert abs(int(scaled.result.success.sum()) - int(quiet.result.success.sum())) <= 1
    assert scaled.by.count("apgd-ce") < quiet.by.count("apgd-ce")


def test_answers_at_random_are_doubted(victim):
    noisy = Subject(Noisy(victim.model.module, 0.05), task=victim.model.task, channels=1)
    part = victim.images[:10], victim.targets[:10]
    short = AutoAttack(stages="apgd-ce", steps=5)
    battery = run_battery(short.attacks(), noisy, *part, Threat(Avoid(), Ball("linf", 0.01)))
    assert "random-answers" in names(battery)


def test_probabilities_for_logits_are_doubted(victim):
    soft = Subject(torch.nn.Sequential(victim.model.module, torch.nn.Softmax(1)), task=victim.model.task, channels=1)
    short = AutoAttack(stages="apgd-t", steps=5)
    battery = run_battery(
        short.attacks(), soft, victim.images[:10], victim.targets[:10], Threat(Avoid(), Ball("l2", 0.2))
    )
    assert "probabilities" in names(battery)


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.05), ("l2", 0.4)])
def test_as_strong_as_torchattacks(norm, radius, victim):
    """At most one image of sixty more left standing, with the same steps and questions."""
    peer = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    images, targets = victim.images[:60], victim.targets[:60]
    theirs = peer.AutoAttack(victim.model, norm=norm.capitalize(), eps=radius, n_classes=5, seed=0)
    for stage in theirs._autoattack.attacks:
        stage.n_queries = 100  # only Square has it; the others take ten steps
    standing = int((answers(victim.model, theirs(images, targets)).argmax(1) == targets).sum())
    short, threat = AutoAttack(steps=10, queries=100), Threat(Avoid(), Ball(norm, radius))
    ours = run(short, victim.model, images, targets, threat)
    assert 6 < standing < 54, "the case must contain both outcomes"
    assert int((~ours.success).sum()) <= standing + 1


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.05), ("l2", 0.4), ("l1", 1.5)])
def test_no_stage_alone_breaks_what_stands(norm, radius, victim):
    part, threat = (victim.images[:16], victim.targets[:16]), Threat(Avoid(), Ball(norm, radius))
    whole = run(SHORT, victim.model, *part, threat)
    battery = run_battery(SHORT.attacks(), victim.model, *part, threat)
    stages = [APGDCE(steps=10), APGDT(steps=10), FABT(steps=10)] + [Square(queries=100)] * (norm != "l1")
    assert 1 < whole.success.sum() < 15
    assert names(battery) == ({"left-out"} if norm == "l1" else set())
    for stage in stages:
        alone = run(stage, victim.model, *part, threat)
        assert int((alone.success & ~whole.success).sum()) <= 1
        assert int((alone.success & ~battery.result.success).sum()) <= 1


@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b"), FlipAll(), Suppress(name="a"), Inject(name="a")], ids=repr)
def test_two_classes_and_findings(goal):
    model, images = net(task=goal.task, outputs=2), pictures((16, 1, 8, 8))
    logits = answers(model, images)
    targets = logits.argmax(1) if goal.task == "multiclass" else (logits > 0).float()
    threat = Threat(goal, Ball("linf", 0.3))
    battery = run_battery(SHORT.attacks(), model, images, targets, threat)
    eligible = goal.applies(model.task, targets)
    assert battery.result.success[eligible].all()
    assert not battery.result.success[~eligible].any()
    assert torch.equal(battery.result.images[~eligible], images[~eligible])
    assert run(SHORT, model, images, targets, threat).success[eligible].all()
    assert battery.doubts == ()


def test_what_is_wrong_already_costs_one_pass(victim):
    images, targets = victim.images[:8], (victim.targets[:8] + 1) % 5
    threat = Threat(Avoid(), Ball("linf", 0.05))
    alone = run(SHORT, victim.model, images, targets, threat)
    assert torch.equal(alone.images, images)
    assert alone.cost.forwards == 8
    battery = run_battery(SHORT.attacks(), victim.model, images, targets, threat)
    assert battery.by == (UNCHANGED,) * 8
    assert battery.stages == ()
    assert battery.result.success.all()


def test_questions_are_counted_within_the_limit():
    model, image, _ = plant(0, 0.1, Quantised(features(), 8))
    images, targets = torch.cat([image, image]), torch.zeros(2, dtype=torch.long)
    threat = Threat(Avoid(), Ball("linf", 0.1), queries=40)
    short = AutoAttack(stages="apgd-ce,square", steps=3, queries=1000)
    found = run(short, model, images, targets, threat)
    assert (found.queries[found.success] <= 40).all()
    assert found.queries[~found.success].isinf().all()
    twice = AutoAttack(stages="square,apgd-ce,simba", steps=3)
    with pytest.raises(InputError, match=r"a limit of 40 queries can be kept by one stage that asks, got \['square'"):
        run_battery(twice.attacks(), model, images, targets, threat)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stages": "apgd-ce,sqare"}, "attack must be one of .*; got 'sqare', did you mean 'square'?"),
        ({"stages": "autoattack"}, "stages must be single attacks, each once; got 'autoattack'"),
        ({"stages": "pgd, pgd"}, "stages must be single attacks, each once; got 'pgd, pgd'"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"queries": 0}, "queries must be a whole number of at least 1, got 0"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        AutoAttack(**options)


def test_refuses_a_threat_that_no_stage_serves(victim):
    short, threat = AutoAttack(stages="square", queries=10), Threat(Avoid(), Ball("l1", 1.0))
    for call in (lambda *rest: run(short, *rest), lambda *rest: run_battery(short.attacks(), *rest)):
        with pytest.raises(
            InputError, match="at least one stage must serve the threat; square searches budgets in linf"
        ):
            call(victim.model, victim.images[:2], victim.targets[:2], threat)
