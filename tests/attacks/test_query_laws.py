"""What all attacks that only ask promise: budgets of questions, no neighbours, no need of gradients."""

from dataclasses import replace

import pytest
import torch
from nets import answers, linear, net, pictures

from aseptic.attacks import PGD, Boundary, HopSkipJump, LabelOnly, Scores, SimBA, Square, Threat, run
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

ATTACKS = [Square(), SimBA(), SimBA(basis="pixel"), HopSkipJump(probes=20), Boundary()]
EACH = pytest.mark.parametrize("attack", ATTACKS, ids=repr)
FEWER = {"Square": 1.0, "SimBA": 1.0, "HopSkipJump": 0.7, "Boundary": 1.0}
"""Least share of the questions allowed that is spent on an image that does not fall."""
RADIUS = {"Square": 0.6, "SimBA": 0.6, "HopSkipJump": 1.0, "Boundary": 1.6}
"""l2 radius within which some of the linear model's images fall with ninety questions, and some do not."""


def threat(attack, radius=0.1, norm="l2", queries=None):
    return Threat(Avoid(), Ball(norm, radius), Scores() if attack.needs == "scores" else LabelOnly(), queries)


class Steps(torch.nn.Module):
    """A network that sees 256 grey levels: its gradient is zero everywhere."""

    def __init__(self, network):
        super().__init__()
        self.network = network

    def forward(self, images):
        return self.network((images * 255).round() / 255)


@EACH
@pytest.mark.parametrize("queries", [1, 2, 43])
def test_spends_its_questions_and_not_one_more(attack, queries):
    """Nothing falls within this radius, so that every attack asks as long as it can."""
    model, images = net(), pictures((5, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    result = run(attack, model, images, targets, threat(attack, radius=1e-6, queries=queries))
    assert not result.success.any()
    assert result.queries.isinf().all()
    assert FEWER[type(attack).__name__] * queries * 5 <= result.cost.forwards <= queries * 5


@EACH
def test_its_own_limit_counts_too(attack):
    model, images = net(), pictures((3, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    own = replace(attack, queries=7)
    for allowed in (None, 30):
        assert run(own, model, images, targets, threat(own, 1e-6, queries=allowed)).cost.forwards <= 21
    assert run(own, model, images, targets, threat(own, 1e-6, queries=5)).cost.forwards <= 15


@EACH
def test_questions_and_results_do_not_depend_on_the_neighbours(attack):
    """The linear model answers the same in every batch, to the bit; so every image must take the same path."""
    model, images = linear((1, 6, 6)), pictures((7, 1, 6, 6))
    targets = answers(model, images).argmax(1)
    names, wanted = [f"p{row}" for row in range(7)], threat(attack, RADIUS[type(attack).__name__], queries=90)
    if attack.needs == "decisions":
        attack = replace(attack, stop=True)
    whole = run(attack, model, images, targets, wanted, ids=names)
    assert 0 < whole.queries.isfinite().sum() < 7, "some fall early and leave the batch, others stay"
    pairs = run(attack, model, images, targets, wanted, ids=names, batch_size=2)
    alone = run(attack, model, images[3:4], targets[3:4], wanted, ids=names[3:4])
    for found, rows in ((pairs, slice(None)), (alone, slice(3, 4))):
        torch.testing.assert_close(found.images, whole.images[rows], rtol=0, atol=1e-6)
        assert torch.equal(found.queries, whole.queries[rows])
    assert not torch.equal(whole.images, run(attack, model, images, targets, wanted, ids=names, seed=1).images)


@EACH
def test_a_model_without_gradients_is_no_obstacle(attack):
    smooth, images = net(), pictures((12, 1, 8, 8))
    model = Subject(Steps(smooth.module), task="multiclass", classes=["a", "b", "c"], channels=1).eval()
    targets = answers(model, images).argmax(1)
    blind = run(PGD(random_start=False), model, images, targets, Threat(Avoid(), Ball("l2", 0.2)))
    assert torch.equal(blind.images, images), "the gradient is zero"
    found = run(
        attack, model, images, targets, threat(attack, radius=0.2, queries=250 if attack.needs == "scores" else 600)
    )
    seen = run(PGD(), smooth, images, targets, Threat(Avoid(), Ball("l2", 0.2)))
    assert seen.success.sum() >= 6
    assert found.success.sum() >= 0.7 * seen.success.sum(), "nearly what a gradient attack does to the smooth model"


@EACH
def test_volumes_in_colour(attack):
    model, images = net(3, channels=2), pictures((3, 2, 5, 4, 6))
    targets = answers(model, images).argmax(1)
    result = run(attack, model, images, targets, threat(attack, radius=5.0, queries=120))
    assert result.success.all()
    assert (result.queries <= 120).all()


@EACH
def test_a_radius_of_zero_changes_nothing(attack):
    model, images = net(), pictures((2, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    result = run(attack, model, images, targets, threat(attack, radius=0, queries=20))
    assert torch.equal(result.images, images)
    assert not result.success.any()
