"""SimBA against the linear model, its directions against SciPy, and its order of questions."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures
from scipy.fft import idctn

from aseptic.attacks import Scores, SimBA, Threat, run
from aseptic.attacks.simba import _cosines, _order, _Waves
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, MultiClass

SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])


def distant(shape):
    """Return the linear model with its boundary out of reach, so that a search goes on to the end."""
    task = MultiClass(classes=("no", "yes"), offsets=(100.0, 0.0))
    return Subject(linear(shape).module, task=task, channels=shape[0])


@SHAPES
@pytest.mark.parametrize(
    ("norm", "attack", "share"),
    [
        ("linf", SimBA(basis="pixel", step=1.0), 0.9999),
        ("l1", SimBA(basis="pixel", step=1.0), 0.95),
        ("l2", SimBA(basis="pixel"), 0.8),
        ("l2", SimBA(basis="dct", frequencies=1.0), 0.78),
    ],
    ids=repr,
)
def test_comes_near_the_linear_optimum(shape, norm, attack, share):
    radius, dual = {"linf": (0.01, 1), "l1": (0.3, math.inf), "l2": (0.1, 2)}[norm]
    model, images = distant(shape), torch.full((2, *shape), 0.5)
    threat = Threat(Avoid(), Ball(norm, radius), Scores(), queries=150 if len(shape) == 3 else 500)
    result = run(attack, model, images, torch.ones(2, dtype=torch.long), threat)
    drop = (answers(model, images) - result.logits)[:, 1]
    best = radius * torch.linalg.vector_norm(model.module.weight.detach().flatten(), dual)
    assert (drop / best > share).all()


def test_single_values_cost_at_most_two_questions_each():
    """In linf, every value of a linear model is set right at the first or the second question about it."""
    model, images = distant((1, 6, 6)), torch.full((2, 1, 6, 6), 0.5)
    threat = Threat(Avoid(), Ball("linf", 0.01), Scores(), queries=1 + 2 * 36)
    found = run(SimBA(basis="pixel", step=1), model, images, torch.ones(2, dtype=torch.long), threat).images
    torch.testing.assert_close(found, images - 0.01 * model.module.weight.detach().sign(), rtol=0, atol=1e-7)


def test_what_would_change_nothing_is_not_asked():
    model = distant((1, 6, 6))
    images = (model.module.weight.detach() < 0).float()[None]  # the worst image there is: no value can do harm
    model.module.weight.data.neg_()  # and now every value can, but only in one direction
    threat = Threat(Avoid(), Ball("linf", 0.01), Scores(), queries=37)
    result = run(SimBA(basis="pixel", step=1.0), model, images, torch.tensor([1]), threat)
    assert (result.images != images).all(), "one question for each value is enough, because the other is impossible"


@pytest.mark.parametrize("space", [(5, 4), (4, 3, 2)], ids=["2-D", "3-D"])
def test_waves_are_those_of_the_cosine_transform(space):
    images = torch.zeros(2 * math.prod(space), 2, *space, dtype=torch.float64)
    waves = _Waves([_cosines(length) for length in space]).along(torch.arange(len(images)), images)
    one = torch.eye(len(images), dtype=torch.float64).reshape(images.shape).numpy()
    expected = torch.from_numpy(idctn(one, axes=range(2, 2 + len(space)), norm="ortho"))
    torch.testing.assert_close(waves, expected)


def test_the_lowest_frequencies_come_first_and_nothing_comes_twice():
    basis, first = SimBA(frequencies=0.25)._basis(torch.zeros(1, 2, 8, 8))
    assert first.sum() == 2 * 2 * 2
    order = _order(first, stream(0), 128)
    assert first[order[:8]].all()
    assert order.unique().shape == (128,)
    assert torch.equal(order[:20], _order(first, stream(0), 20)), "a smaller budget asks the same, and stops"
    assert basis.along(torch.tensor([0]), torch.zeros(1, 2, 8, 8)).shape == (1, 2, 8, 8)


def test_the_number_of_questions_is_exactly_what_is_needed():
    """With one question fewer than reported the search fails; with that many it succeeds."""
    model, images = net(), pictures((16, 1, 8, 8))
    targets, budget = answers(model, images).argmax(1), Ball("l2", 0.1)
    whole = run(SimBA(), model, images, targets, Threat(Avoid(), budget, Scores(), queries=150))
    hard = (whole.success & (whole.queries > 1)).nonzero()[:3, 0]
    assert len(hard) == 3
    for row in hard.tolist():
        needed = int(whole.queries[row])
        one = [part[row : row + 1] for part in (images, targets)]
        for queries, falls in ((needed, True), (needed - 1, False)):
            threat = Threat(Avoid(), budget, Scores(), queries=queries)
            assert bool(run(SimBA(), model, *one, threat, ids=[str(row)]).success) == falls


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"queries": 0}, "queries must be a whole number of at least 1, got 0"),
        ({"step": 0}, "step must be a positive fraction of the radius, got 0"),
        ({"step": math.inf}, "step must be a positive fraction of the radius, got inf"),
        ({"basis": "haar"}, "basis must be one of dct, pixel; got 'haar'"),
        ({"frequencies": 0.0}, r"frequencies must lie in \(0, 1\], got 0.0"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        SimBA(**options)
