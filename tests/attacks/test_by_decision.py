"""HopSkipJump and Boundary: the linear model's distance, starts that fail, and steps that keep what they promise."""

import math
from dataclasses import replace

import pytest
import torch
from nets import answers, batch_of, linear, net, pictures

from aseptic.attacks import Boundary, Flag, HopSkipJump, LabelOnly, Threat, run
from aseptic.attacks.asking import Questions
from aseptic.attacks.base import Counted
from aseptic.attacks.boundary import _aside, _toward
from aseptic.attacks.deciding import between, bisect, bisections
from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, MultiClass, Reach
from aseptic.tasks.multilabel import FlipAll

BOTH = pytest.mark.parametrize("attack", [HopSkipJump(), Boundary()], ids=lambda attack: type(attack).__name__)
SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])


class Plane(torch.nn.Module):
    """The linear model of the tests, with its boundary through mid-grey."""

    def __init__(self, shape):
        super().__init__()
        self.inner = linear(shape).module

    def forward(self, images):
        return self.inner(images - 0.5)


def plane(shape, n=4):
    """Return the model, images well inside [0, 1], their sides of the plane, and their margins."""
    model = Subject(Plane(shape), task="multiclass", classes=["no", "yes"], channels=shape[0])
    images = 0.5 + 0.3 * (pictures((n, *shape)) - 0.5)
    score = answers(model, images)[:, 1]
    return model, images, (score > 0).long(), score.abs()


@SHAPES
@pytest.mark.parametrize(
    ("attack", "norm", "factors"),
    [
        (HopSkipJump(queries=400), "l2", (1.3, 1.7)),
        (HopSkipJump(queries=400), "linf", (1.6, 2.0)),
        (Boundary(queries=400), "l2", (1.6, 2.5)),
    ],
    ids=repr,
)
def test_approaches_the_smallest_distance(shape, attack, norm, factors):
    """With these questions every image comes this near to the closed form ``margin / dual norm of w``."""
    model, images, targets, margin = plane(shape)
    result = run(attack, model, images, targets, Threat(Avoid(), Ball(norm, 1e3), LabelOnly()))
    dual = torch.linalg.vector_norm(model.module.inner.weight.detach().flatten(), {"l2": 2, "linf": 1}[norm])
    assert result.success.all()
    assert (result.distance >= margin / dual * (1 - 1e-4)).all(), "nothing is nearer than the plane"
    assert (result.distance <= factors[len(shape) - 3] * margin / dual).all()


@BOTH
def test_more_questions_come_nearer(attack):
    model, images, targets, margin = plane((1, 6, 6))
    dual = model.module.inner.weight.detach().norm()
    worst = []
    for queries in (100, 250, 600):
        threat = Threat(Avoid(), Ball("l2", 1e3), LabelOnly(), queries=queries)
        worst.append(float((run(attack, model, images, targets, threat).distance * dual / margin).max()))
    assert worst[0] > worst[1] > worst[2]
    assert worst[2] < 1.35


@BOTH
def test_inside_the_budget_it_is_the_nearest_point_and_outside_that_point_projected(attack):
    model, images, targets, _ = plane((1, 6, 6))
    free = run(attack, model, images, targets, Threat(Avoid(), Ball("l2", 1e3), LabelOnly(), queries=200))
    radius = float(free.distance.sort().values[1:3].mean())
    tight = Threat(Avoid(), Ball("l2", radius), LabelOnly(), queries=200)
    result = run(attack, model, images, targets, tight)
    inside = free.distance <= radius
    assert inside.sum() == 2
    torch.testing.assert_close(result.images[inside], free.images[inside])
    torch.testing.assert_close(result.images, images + tight.budget.project(free.images - images))
    assert torch.equal(result.success, inside)
    assert torch.equal(result.queries.isfinite(), inside)


@BOTH
def test_stopping_inside_the_budget_saves_questions_and_loses_nothing(attack):
    model, images, targets, margin = plane((1, 6, 6))
    radius = 2 * float((margin / model.module.inner.weight.detach().norm()).max())
    threat = Threat(Avoid(), Ball("l2", radius), LabelOnly(), queries=300)
    early = run(type(attack)(stop=True), model, images, targets, threat)
    whole = run(attack, model, images, targets, threat)
    assert early.success.all()
    assert torch.equal(early.queries, whole.queries), "the way there is the same"
    assert early.cost.forwards < 0.8 * whole.cost.forwards


@BOTH
def test_an_image_without_a_start_costs_its_tries_and_the_others_go_on(attack):
    """Foolbox stops with an error, or never, when one image of a batch finds no start (its #541, #435, #243)."""
    weight = plane((1, 6, 6))[0].module.inner.weight.detach()
    rare = MultiClass(classes=("no", "yes"), offsets=(0.0, 0.45 * float(weight.abs().sum())))  # noise never says yes
    model = Subject(Plane((1, 6, 6)), task=rare, channels=1)
    common, special = 0.5 + 0.3 * (pictures((3, 1, 6, 6)) - 0.5), (0.5 + 0.49 * weight.sign()).expand(2, -1, -1, -1)
    images, targets = torch.cat([common, special]), torch.tensor([0, 0, 0, 1, 1])
    threat = Threat(Avoid(), Ball("l2", 10.0), LabelOnly(), queries=150)
    few = replace(attack, tries=30)
    result = run(few, model, images, targets, threat)
    assert torch.equal(result.images[:3], common)
    assert result.success.tolist() == [False] * 3 + [True] * 2
    assert result.queries[:3].isinf().all()
    alone = run(few, model, special, targets[3:], threat, ids=["3", "4"])
    torch.testing.assert_close(result.images[3:], alone.images)
    assert torch.equal(result.queries[3:], alone.queries)
    assert result.cost.forwards == alone.cost.forwards + 3 * 31, "the image and thirty tries each"


@BOTH
def test_starts_where_noise_of_single_values_cannot(attack):
    """Noise has the mean of its distribution; only blocks are bright enough for this model."""
    bright = Subject(Bright(), task="multiclass", classes=["no", "yes"], channels=1)
    images = torch.full((2, 1, 16, 16), 0.1)
    threat = Threat(Reach(name="yes"), Ball("l2", 100.0), LabelOnly(), queries=300)
    result = run(replace(attack, tries=60), bright, images, torch.zeros(2, dtype=torch.long), threat)
    assert result.success.all()


class Bright(torch.nn.Module):
    """Says yes where the mean is between 0.7 and 0.85: neither noise of single values nor the negative."""

    def forward(self, images):
        score = 0.075 - (images.flatten(1).mean(1) - 0.775).abs()
        return torch.stack([torch.zeros_like(score), score], 1)


@BOTH
def test_an_image_that_is_there_already_costs_one_question(attack):
    model, images, targets, _ = plane((1, 6, 6))
    result = run(attack, model, images, 1 - targets, Threat(Avoid(), Ball("l2", 1.0), LabelOnly()))
    assert torch.equal(result.images, images)
    assert (result.queries == 1).all()
    assert result.cost.forwards == len(images)


@BOTH
def test_an_earlier_result_is_a_start(attack):
    model, images, targets, _ = plane((1, 6, 6))
    threat = Threat(Avoid(), Ball("l2", 3.0), LabelOnly(), queries=200)
    first = run(attack, model, images, targets, threat)
    again = run(replace(attack, tries=1), model, images, targets, threat, start=first.images, seed=1)
    assert first.success.all()
    assert (again.queries == 2).all(), "the image, then the start"
    assert (again.distance <= first.distance * (1 + 1e-3)).all()


@BOTH
@pytest.mark.parametrize("interface", [LabelOnly(), Flag(name="yes")], ids=repr)
def test_a_flag_is_enough(attack, interface):
    model, images, targets, _ = plane((1, 6, 6))
    threat = Threat(Avoid(), Ball("l2", 3.0), interface, queries=200)
    assert run(attack, model, images, targets, threat).success.all()


@BOTH
def test_findings_are_flipped_too(attack):
    model, images = net(task="multilabel"), pictures((3, 1, 8, 8))
    targets = (answers(model, images) > 0).float()
    targets[:, 1] = torch.nan
    result = run(attack, model, images, targets, Threat(FlipAll(), Ball("l2", 10.0), LabelOnly(), queries=150))
    assert result.success.all()
    assert ((result.logits[:, ::2] > 0) != (targets[:, ::2] > 0)).all()


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_bisection_ends_at_the_plane(norm):
    model, images, targets, _ = plane((1, 6, 6))
    counted, far = Counted(model), 1 - images
    threat = Threat(Avoid(), Ball(norm, 10.0), LabelOnly())
    batch = batch_of(images, targets, threat)
    counted.open(batch)
    rows, questions = torch.arange(4), Questions(counted, batch, 100)
    near = bisect(questions, norm, images, far, rows=rows, tolerance=2.0**-12)
    assert counted.ledger.asked.tolist() == [12] * 4 == [bisections(2.0**-12)] * 4
    assert (answers(model, near).argmax(1) != targets).all()
    share = Ball(norm, 0).size(near - images) / Ball(norm, 0).size(far - images)
    inside = between(norm, images, far, share - 2.0**-11)
    assert (answers(model, inside).argmax(1) == targets).all(), "a step of the tolerance further in is not enough"


def test_between_keeps_its_norm():
    images, found = pictures((5, 1, 4, 4)), pictures((5, 1, 4, 4), seed=1)
    share = torch.tensor([0.0, 0.3, 0.5, 0.9, 1.0])
    for norm in ("linf", "l2"):
        size = Ball(norm, 0).size
        moved = between(norm, images, found, share)
        torch.testing.assert_close(size(moved - images), share * size(found - images), rtol=1e-4, atol=1e-6)
    assert torch.equal(moved[4], found[4])


def test_steps_of_boundary_are_the_papers():
    """A move aside keeps the distance and is as long as it says; a step towards the image takes its share."""
    images = torch.full((6, 1, 5, 5), 0.5)
    found = images + 0.1 * torch.randn(images.shape, generator=stream(0))
    length = torch.tensor([0.01, 0.02, 0.05, 0.1, 0.2, 0.4])
    size = Ball("l2", 0).size
    moved = _aside(images, found, length, torch.randn(images.shape, generator=stream(1)))
    torch.testing.assert_close(size(moved - images), size(found - images), rtol=1e-5, atol=0)
    cosine = ((moved - images) * (found - images)).flatten(1).sum(1) / size(found - images).square()
    torch.testing.assert_close(cosine, 1 / (1 + length.square()).sqrt(), rtol=1e-5, atol=0)
    nearer = _toward(images, found, moved, length)
    torch.testing.assert_close(size(nearer - images), (1 - length) * size(found - images), rtol=1e-5, atol=0)


def test_asking_needs_an_open_batch():
    model, images, targets, _ = plane((1, 6, 6))
    with pytest.raises(ContractError, match="a batch must be opened before"):
        Questions(Counted(model), batch_of(images, targets, Threat(Avoid(), Ball("l2", 1.0), LabelOnly())), 10)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (HopSkipJump, {"queries": 0}, "queries must be a whole number of at least 1, got 0"),
        (HopSkipJump, {"probes": 0}, r"probes must lie in 1..most_probes \(10000\), got 0"),
        (HopSkipJump, {"probes": 11, "most_probes": 10}, r"probes must lie in 1..most_probes \(10\), got 11"),
        (HopSkipJump, {"tries": 0}, "tries must be a whole number of at least 1, got 0"),
        (Boundary, {"tries": 0}, "tries must be a whole number of at least 1, got 0"),
        (Boundary, {"aside": 1.0}, r"aside must be a fraction in \(0, 1\) of the distance, got 1.0"),
        (Boundary, {"toward": 0}, r"toward must be a fraction in \(0, 1\) of the distance, got 0"),
        (Boundary, {"adaptation": 1.0}, "adaptation must be a factor above 1, got 1.0"),
        (Boundary, {"adaptation": math.inf}, "adaptation must be a factor above 1, got inf"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


def test_boundary_serves_l2_alone():
    model, images, targets, _ = plane((1, 6, 6))
    with pytest.raises(InputError, match="Boundary searches budgets in l2, got linf"):
        run(Boundary(), model, images, targets, Threat(Avoid(), Ball("linf", 0.1), LabelOnly()))
