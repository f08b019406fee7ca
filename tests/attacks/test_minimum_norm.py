"""Minimum-norm attacks on linear models, whose nearest boundary is known in closed form, and what they all promise."""

import math

import pytest
import torch
from nets import Linear, answers, linear, net, pictures
from torch import nn
from victims import blobs, train_victim

from aseptic.attacks import CWL2, DDN, FMN, DeepFool, Threat, run
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import DUAL, Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, Suppress

FAR = 1e3
SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (2, 3, 4, 3)], ids=["2-D", "3-D"])
CASES = [
    ("l2", CWL2(searches=5, steps=80, step=0.003, first_weight=0.02), 1.02),
    ("l2", DDN(), 1.005),
    ("l2", DeepFool(), 1.001),
    ("linf", DeepFool(), 1.001),
    ("l2", DeepFool(trims=0), 1.021),
    ("l1", FMN(), 1.01),
    ("l2", FMN(), 1.001),
    ("linf", FMN(), 1.001),
]
EACH = pytest.mark.parametrize(("norm", "attack", "within"), CASES, ids=lambda case: str(case)[:24])


def near(model, images, gaps):
    """Return images moved so that ``w.x`` is what is wanted, none of their values near a bound."""
    weight = model.module.weight.detach()
    change = (gaps - answers(model, images)[:, 1]) / weight.square().sum()
    return images + change.reshape(-1, *(1,) * (images.ndim - 1)) * weight


SAME = [
    ("l2", CWL2(searches=3, steps=60, first_weight=3)),
    ("l2", DDN(steps=50)),
    ("l2", DeepFool()),
    ("linf", DeepFool()),
    *((norm, FMN(steps=50)) for norm in DUAL),
]
ALL = pytest.mark.parametrize(("norm", "attack"), SAME, ids=lambda case: str(case)[:24])


@EACH
@SHAPES
def test_finds_the_nearest_point_of_a_linear_boundary(norm, attack, within, shape):
    model = linear(shape)
    images = near(model, torch.full((3, *shape), 0.5), torch.tensor([0.3, -0.5, 0.7]))
    score, weight = answers(model, images)[:, 1], model.module.weight.detach().flatten()
    result = run(attack, model, images, (score > 0).long(), Threat(Avoid(), Ball(norm, FAR)))
    best = score.abs() / torch.linalg.vector_norm(weight, DUAL[norm])
    assert result.success.all()
    assert (result.distance >= best * (1 - 1e-5)).all(), "nothing is nearer than the boundary"
    assert (result.distance <= best * within).all()


@EACH
def test_values_at_their_bounds_are_no_help(norm, attack, within):
    """Half of the values are where the attack would push them: the dual norm is that of the other half."""
    shape = (1, 6, 6)
    model, weight = linear(shape), linear(shape).module.weight.detach()
    free = torch.arange(36).reshape(shape) % 2 == 0
    corner = (weight > 0).float()
    images = torch.where(free, 0.5, corner)[None]
    offset = float((images * weight).sum()) + 0.5  # logits (offset, w.x): the first wins by 0.5
    task = type(model.task)(classes=("no", "yes"), offsets=(0.0, offset))
    shifted = Subject(model.module, task=task, channels=1)
    result = run(attack, shifted, images, torch.zeros(1, dtype=torch.long), Threat(Avoid(), Ball(norm, FAR)))
    best = 0.5 / float(torch.linalg.vector_norm(weight[free], DUAL[norm]))
    assert result.success.all()
    assert best * (1 - 1e-4) <= float(result.distance) <= best * max(within, 1.03)


@EACH
@pytest.mark.parametrize("goal", [Suppress(name="yes"), Inject(name="yes")], ids=repr)
def test_findings_have_the_same_closed_form(norm, attack, within, goal):
    shape = (1, 6, 6)
    model = Subject(Linear(shape), task="multilabel", classes=["no", "yes"], channels=1)
    there = float(isinstance(goal, Suppress))
    images = near(model, torch.full((1, *shape), 0.5), torch.tensor([there - 0.5]))
    result = run(attack, model, images, torch.tensor([[0.0, there]]), Threat(goal, Ball(norm, FAR)))
    best = 0.5 / torch.linalg.vector_norm(model.module.weight.detach().flatten(), DUAL[norm])
    assert best * (1 - 1e-4) <= float(result.distance) <= best * within


@ALL
def test_what_lies_outside_the_budget_comes_back_at_its_edge(norm, attack):
    model, (images, kinds) = train_victim().model, blobs(12, seed=3)
    whole = run(attack, model, images, kinds, Threat(Avoid(), Ball(norm, FAR)))
    ball = Ball(norm, float(whole.distance.median()))
    result = run(attack, model, images, kinds, Threat(Avoid(), ball))
    inside = (images + ball.project(whole.images - images)).clamp(0, 1)
    torch.testing.assert_close(result.images, inside, rtol=0, atol=1e-6)
    same = whole.success & (whole.distance <= ball.radius)
    assert (result.success >= same).all()
    assert 0 < same.sum() < len(images), "the case must contain both outcomes"
    assert torch.equal(result.images[same], whole.images[same])


@ALL
def test_an_image_that_is_there_already_costs_one_pass(norm, attack):
    model, images = net(), pictures((6, 1, 8, 8))
    wrong = (answers(model, images).argmax(1) + 1) % 3
    result = run(attack, model, images, wrong, Threat(Avoid(), Ball(norm, FAR)))
    assert torch.equal(result.images, images)
    assert result.success.all()
    assert (result.cost.forwards, result.cost.backwards) == (6, 0)


@ALL
def test_neighbours_do_not_matter(norm, attack):
    model, (images, kinds) = train_victim().model, blobs(6, seed=4)
    threat = Threat(Avoid(), Ball(norm, FAR))
    together = run(attack, model, images, kinds, threat)
    apart = run(attack, model, images, kinds, threat, batch_size=4)
    torch.testing.assert_close(together.distance, apart.distance, rtol=5e-3, atol=1e-4)
    assert together.cost.forwards == pytest.approx(apart.cost.forwards, rel=0.02)


@ALL
@pytest.mark.parametrize("goal", [Reach(name="b"), FlipAll()], ids=repr)
def test_goals_that_need_several_outputs_are_reached_and_measured_again(norm, attack, goal):
    model, images = net(task=goal.task), pictures((6, 1, 8, 8))
    logits = answers(model, images)
    targets = logits.topk(3).indices[:, 0] if goal.task == "multiclass" else (logits > 0).float()
    result = run(attack, model, images, targets, Threat(goal, Ball(norm, FAR)))
    found = result.success[result.eligible].float().mean()
    assert found >= (0.8 if isinstance(attack, DeepFool) else 1.0), "it straightens one boundary at a time"


def several(norm):
    """Return a linear model of four classes, images, and the distance to each other class."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(36, 4))
    rng = stream(0, "several")
    module[1].weight.data = torch.randn((4, 36), generator=rng) * torch.tensor([1.0, 4.0, 0.5, 1.0])[:, None]
    module[1].bias.data = torch.tensor([3.0, 0.5, 0.0, 2.3]) - 0.5 * module[1].weight.data.sum(1)
    model = Subject(module, task="multiclass", classes=["a", "b", "c", "d"], channels=1)
    images = 0.48 + 0.04 * torch.rand((8, 1, 6, 6), generator=rng)
    logits = answers(model, images)
    truth, weight = logits.argmax(1), module[1].weight.detach()
    gaps = logits.max(1, keepdim=True).values - logits
    slopes = torch.linalg.vector_norm(weight[None] - weight[truth][:, None], DUAL[norm], dim=2)
    distances = torch.where(gaps > 0, gaps / slopes, math.inf)
    return model, images, truth, distances


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_deepfool_goes_to_the_nearest_of_several_classes(norm):
    model, images, truth, distances = several(norm)
    threat = Threat(Avoid(), Ball(norm, FAR))
    result = run(DeepFool(), model, images, truth, threat)
    torch.testing.assert_close(result.distance, distances.amin(1), rtol=3e-3, atol=0)
    likeliest = answers(model, images).topk(2).indices[:, 1:]
    one = run(DeepFool(candidates=2), model, images, truth, threat)
    torch.testing.assert_close(one.distance, distances.gather(1, likeliest)[:, 0], rtol=3e-3, atol=0)
    assert (one.cost.backwards, result.cost.backwards) == (8, 24), "one pass for each class that is considered"
    assert (one.distance > result.distance * 1.01).any(), "the case must tell them apart"


def test_deepfool_stops_after_its_steps():
    model, (images, kinds) = train_victim().model, blobs(4, seed=5)
    result = run(
        DeepFool(steps=1, overshoot=0, trims=0), model, images, kinds, Threat(Reach(name="b"), Ball("l2", FAR))
    )
    assert result.cost.backwards <= len(images)
    assert not result.success.all(), "the case must be hard enough"
    assert (result.distance[result.eligible] > 0).all(), "the closest that was seen comes back"


def test_more_confidence_is_further_away():
    model, (images, kinds) = train_victim().model, blobs(8, seed=6)
    threat, few = Threat(Avoid(), Ball("l2", FAR)), {"searches": 2, "steps": 100, "first_weight": 1}
    bare, sure = (run(CWL2(confidence=wanted, **few), model, images, kinds, threat) for wanted in (0.0, 2.0))
    there = sure.margin > 2
    assert there.float().mean() > 0.7, "but for images that three searches are too few for"
    assert (sure.distance > bare.distance)[there & (bare.distance > 0)].all()
    assert (bare.margin < 2).all()


def test_leaving_images_that_stopped_gaining_saves_passes_and_costs_little():
    model, (images, kinds) = train_victim().model, blobs(8, seed=7)
    threat = Threat(Avoid(), Ball("l2", FAR))
    early, whole = (
        run(CWL2(searches=2, steps=400, first_weight=1, stop=stop), model, images, kinds, threat)
        for stop in (True, False)
    )
    assert early.cost.forwards < 0.6 * whole.cost.forwards
    known = whole.distance > 0
    assert (early.distance / whole.distance)[known].mean() < 1.02


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (CWL2, {"searches": 0}, "searches must be a whole number of at least 1, got 0"),
        (CWL2, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (CWL2, {"step": 0}, "step must be a positive number, got 0"),
        (CWL2, {"first_weight": math.inf}, "first_weight must be a positive number, got inf"),
        (CWL2, {"confidence": -1}, "confidence must be a number of at least 0, got -1"),
        (DDN, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (DDN, {"first_norm": 0}, "first_norm must be a positive number, got 0"),
        (DDN, {"factor": 1}, r"factor must lie in \(0, 1\), got 1"),
        (DDN, {"loss": "logits"}, "loss must be one of objective, margin; got 'logits'"),
        (FMN, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (FMN, {"step": math.nan}, "step must be a positive number, got nan"),
        (FMN, {"factor": 1}, r"factor must lie in \[0.001, 1\), got 1"),
        (DeepFool, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (DeepFool, {"overshoot": -0.1}, "overshoot must be a number of at least 0, got -0.1"),
        (DeepFool, {"candidates": 1}, "candidates must be a whole number of at least 2, got 1"),
        (DeepFool, {"trims": -1}, "trims must be a whole number of at least 0, got -1"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)
