"""Square against the linear model, whose optimum is known, and its steps against the paper's."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures

from aseptic.attacks import LabelOnly, Scores, Square, Threat, run
from aseptic.attacks.square import _bumps, _peak, _tiles
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, MultiClass, Reach

SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])


def distant(shape):
    """Return the linear model with its boundary out of reach, so that a search goes on to the end."""
    task = MultiClass(classes=("no", "yes"), offsets=(100.0, 0.0))
    return Subject(linear(shape).module, task=task, channels=shape[0])


@SHAPES
def test_reaches_the_verdicts_of_the_linear_optimum(shape):
    """Half of the images lie nearer to the boundary than the radius by 10 %, half of them farther by 1 %."""
    model, images = linear(shape), torch.full((4, *shape), 0.5)
    radius, weight = 0.01, model.module.weight.detach()
    best = radius * weight.abs().sum()
    score = (images[0] * weight).sum()
    wanted = torch.tensor([0.9] * 2 + [1.01] * 2) * best  # margins of the images, by moving them along the weights
    images = images + ((wanted - score) / weight.square().sum()).reshape(-1, *(1,) * len(shape)) * weight
    threat = Threat(Avoid(), Ball("linf", radius), Scores(), queries=300 if len(shape) == 3 else 1000)
    result = run(Square(), model, images, torch.ones(4, dtype=torch.long), threat)
    assert result.success.tolist() == [True] * 2 + [False] * 2
    assert (result.queries[:2] > 1).all()


@SHAPES
def test_goes_on_to_the_corner_of_the_budget(shape):
    model, images = distant(shape), torch.full((2, *shape), 0.5)
    images[1, 0] = 1.0  # where nothing can be added
    threat = Threat(Avoid(), Ball("linf", 0.01), Scores(), queries=300 if len(shape) == 3 else 1000)
    found = run(Square(), model, images, torch.ones(2, dtype=torch.long), threat).images
    weight = model.module.weight.detach()
    corner = (images - 0.01 * weight.sign()).clamp(0, 1)
    gained, most = ((weight * (part - images)).flatten(1).sum(1) for part in (found, corner))
    assert (gained / most > 0.95).all()
    delta = (found - images).abs()
    assert ((delta - 0.01).abs().lt(1e-6) | (images == 1)).all(), "no value inside the budget, but those on a bound"


@pytest.mark.parametrize(("shape", "share"), [((1, 6, 6), 0.55), ((3, 4, 4, 4), 0.25)], ids=["2-D", "3-D"])
def test_l2_uses_the_whole_radius_and_gains(shape, share):
    """White noise is the worst case for bumps: the share of the optimum is that of the paper's algorithm."""
    model, images = distant(shape), torch.full((4, *shape), 0.5)
    threat = Threat(Avoid(), Ball("l2", 0.1), Scores(), queries=250)
    result = run(Square(share=0.1), model, images, torch.ones(4, dtype=torch.long), threat)
    torch.testing.assert_close(result.distance, torch.full((4,), 0.1), rtol=1e-5, atol=0)
    drop = (answers(model, images) - result.logits)[:, 1]
    assert (drop / (0.1 * model.module.weight.detach().norm()) > share).all()


def test_the_schedule_is_the_papers():
    sides = [Square(share=0.04)._sides((1000, 1000), step, 10_000)[0] for step in (0, 10, 11, 50, 51, 501, 8001, 9999)]
    halvings = [0, 0, 1, 1, 2, 4, 9, 9]
    assert sides == [round((0.04 / 2**count * 1e6) ** 0.5) for count in halvings]
    assert Square(share=0.04)._sides((1000, 1000), 6, 1000) == (100, 100), "stretched to the budget of questions"
    assert Square(share=1e-6)._sides((8, 8), 0, 100) == (1, 1)


def test_a_bump_is_the_papers():
    peak = _peak([3, 5])
    rings = [1 + 1 / 4 + 1 / 9, 1 / 4 + 1 / 9, 1 / 9]
    expected = torch.tensor([[2, 1, 1, 1, 2], [2, 1, 0, 1, 2], [2, 1, 1, 1, 2]])
    expected = torch.tensor(rings, dtype=torch.float64)[expected]
    torch.testing.assert_close(peak, expected / expected.norm())
    bumps = _bumps([5, 5, 5], torch.zeros(1, 1, 1, 1, 1, dtype=torch.float64))
    torch.testing.assert_close(bumps.flatten(1).norm(dim=1), torch.ones(3, dtype=torch.float64))
    assert (bumps[0, :2] > 0).all()
    assert (bumps[0, 2:] < 0).all()
    torch.testing.assert_close(bumps[2], bumps[0].transpose(0, 2))


@pytest.mark.parametrize("shape", [(2, 3, 11, 7), (2, 1, 5, 6, 3), (2, 1, 1, 1)], ids=["2-D", "3-D", "one value"])
def test_the_l2_start_has_the_whole_radius(shape):
    images = torch.full(shape, 0.5)
    moved = _tiles(images, 0.2, [stream(row) for row in range(2)]) - images
    torch.testing.assert_close(moved.flatten(1).norm(dim=1), torch.full((2,), 0.2))


def test_every_question_changes_something():
    """A square of signs that are there already would be a question wasted; of single values that is every second."""
    model, images = distant((1, 6, 6)), torch.full((1, 1, 6, 6), 0.5)
    seen = []
    model.module.register_forward_hook(lambda _, args, __: seen.append(args[0].clone()))
    run(Square(share=1e-3), model, images, torch.tensor([1]), Threat(Avoid(), Ball("linf", 0.1), Scores(), queries=60))
    asked = torch.cat(seen[1:-1])  # without the image and the measurement
    best, wasted = asked[0], 0
    for tried, score in zip(asked[1:], answers(model, asked[1:])[:, 1], strict=True):
        wasted += torch.equal(tried, best)
        best = tried if score < answers(model, best[None])[0, 1] else best
    assert wasted <= 1, "by one drawing in 2^9"


def test_begins_where_it_is_told():
    model, images = net(), pictures((12, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    threat = Threat(Avoid(), Ball("linf", 0.02), Scores(), queries=200)
    first = run(Square(), model, images, targets, threat)
    again = run(Square(), model, images, targets, threat, start=first.images, seed=1)
    assert 0 < first.success.sum() < 12
    assert (again.queries[first.success] == 1).all()
    assert (again.margin >= first.margin - 1e-5).all(), "a start is never given up for something worse"


def test_rounded_scores_are_enough_and_decisions_are_not():
    model, images = net(), pictures((12, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    rounded = Threat(Avoid(), Ball("linf", 0.03), Scores(decimals=2), queries=200)
    assert run(Square(), model, images, targets, rounded).success.any()
    with pytest.raises(InputError, match="Square needs scores, got an attacker who sees the decision only"):
        run(Square(), model, images, targets, Threat(Reach(name="b"), Ball("linf", 0.03), LabelOnly()))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "queries must be a whole number of at least 1, got 0"),
        ({"share": 0.0}, r"share must lie in \(0, 1\], got 0.0"),
        ({"share": 1.5}, r"share must lie in \(0, 1\], got 1.5"),
        ({"share": math.nan}, r"share must lie in \(0, 1\], got nan"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        Square(**options)
