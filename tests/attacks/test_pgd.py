"""PGD and FGSM against a linear model, whose optimal attack is known in closed form, and against each other."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures

from aseptic.attacks import FGSM, PGD, Threat, run
from aseptic.core.errors import InputError
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll

SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])
NORMS = pytest.mark.parametrize(("norm", "radius", "dual"), [("linf", 0.01, 1), ("l2", 0.1, 2), ("l1", 0.3, math.inf)])
SETTINGS = [
    FGSM(),
    PGD(step=0.5, stop=False),
    PGD(stop=False, random_start=False),
    PGD(step=0.5, stop=False, loss="margin"),
]


@SHAPES
@NORMS
@pytest.mark.parametrize("attack", SETTINGS, ids=repr)
def test_reaches_the_linear_optimum(shape, norm, radius, dual, attack):
    model, images = linear(shape), torch.full((4, *shape), 0.5)
    threat = Threat(Avoid(), Ball(norm, radius))
    result = run(attack, model, images, torch.ones(4, dtype=torch.long), threat)
    drop = (answers(model, images) - result.logits)[:, 1]
    weight = model.module.weight.detach().flatten()
    if norm == "l1" and weight.numel() >= 200:
        pytest.fail("an l1 step would be shared, and the closed form would not hold")
    best = torch.full_like(drop, radius * float(torch.linalg.vector_norm(weight, dual)))
    torch.testing.assert_close(drop, best, rtol=2e-3 if norm == "l1" else 1e-4, atol=1e-5)


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b")], ids=repr)
def test_fgsm_is_pgd_with_one_whole_step(norm, goal):
    model, images = net(), pictures((6, 1, 8, 8))
    targets, threat = torch.tensor([0, 2, 0, 2, 0, 2]), Threat(goal, Ball(norm, 0.2))
    once = PGD(steps=1, step=1.0, random_start=False, stop=False)
    found = [run(attack, model, images, targets, threat) for attack in (FGSM(), once)]
    assert torch.equal(found[0].images, found[1].images)


def test_costs_exactly_its_steps():
    model, images = net(), pictures((5, 1, 8, 8))
    threat, targets = Threat(Avoid(), Ball("linf", 0.01)), answers(net(), images).argmax(1)
    calls = []
    model.module.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    cost = run(PGD(steps=7, stop=False), model, images, targets, threat, batch_size=2).cost
    assert (cost.forwards, cost.backwards) == (35, 35)
    assert calls == [2] * 14 + [1] * 7 + [2, 2, 1], "seven passes a batch, then one to measure"
    assert cost.seconds > 0


def test_stopping_saves_passes_and_loses_nothing():
    model, images = net(), pictures((24, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.02))
    whole = run(PGD(random_start=False, stop=False), model, images, targets, threat)
    early = run(PGD(random_start=False), model, images, targets, threat)
    assert 0 < whole.success.sum() < len(images), "the case must contain both outcomes"
    assert (early.success | ~whole.success).all()
    assert early.cost.forwards < 0.8 * whole.cost.forwards
    assert early.cost.forwards == early.cost.backwards


def test_an_image_that_fell_is_left_at_its_first_success():
    model, images = net(), pictures((12, 1, 8, 8))
    truth = answers(model, images).argmax(1)
    result = run(PGD(random_start=False), model, images, (truth + 1) % 3, Threat(Avoid(), Ball("linf", 0.02)))
    assert result.success.all(), "they were wrong from the start"
    assert torch.equal(result.images, images)
    assert result.cost.forwards == len(images)


def test_looking_less_often_changes_nothing(monkeypatch):
    """On an accelerator fallen images are removed every few steps only, and held still until then."""
    model, images = net(), pictures((24, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.02))
    often = run(PGD(), model, images, targets, threat)
    monkeypatch.setattr("aseptic.attacks.climbing.LOOK_EVERY", {"cpu": 4})
    rarely = run(PGD(), model, images, targets, threat)
    torch.testing.assert_close(often.images, rarely.images, rtol=0, atol=1e-5)
    assert often.cost.forwards < rarely.cost.forwards


def test_unknown_findings_do_not_matter():
    model, images = net(task="multilabel"), pictures((4, 1, 8, 8))
    targets = (answers(model, images) > 0).float()
    targets[:, 1] = torch.nan
    for loss in ("objective", "margin"):
        result = run(PGD(loss=loss), model, images, targets, Threat(FlipAll(), Ball("linf", 1.0)))
        assert result.success.all()
        assert ((result.logits[:, ::2] > 0) != (targets[:, ::2] > 0)).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"step": 0.0}, "step must be a positive fraction of the radius, got 0.0"),
        ({"step": math.nan}, "step must be a positive fraction of the radius, got nan"),
        ({"loss": "logits"}, "loss must be one of objective, margin; got 'logits'"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        PGD(**options)


def test_confidence_goes_past_the_boundary_and_loses_no_success():
    model, images = net(), pictures((24, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.02))
    bare, sure = (run(PGD(confidence=wanted), model, images, targets, threat) for wanted in (0.0, 0.1))
    assert (sure.success >= bare.success).all()
    both = bare.success & (sure.margin > 0.1)
    assert both.any()
    assert (sure.margin[both] >= bare.margin[both]).all()
    assert sure.margin.mean() > bare.margin.mean()
    with pytest.raises(InputError, match="confidence must be a number of at least 0, got -1"):
        PGD(confidence=-1)
