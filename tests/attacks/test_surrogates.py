"""Several networks attacked as one: mean logits, and SVRE's walk through the members."""

import pytest
import torch
from nets import Net, answers, net, pictures
from torch import nn

from aseptic.attacks import MIFGSM, SVRE, SurrogateEnsemble, Threat, ensemble, run
from aseptic.attacks.surrogates import members_of
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, MultiClass
from aseptic.tasks.multilabel import FlipAll

THREAT = Threat(Avoid(), Ball("linf", 0.03))


def other(seed, space=2, task="multiclass", classes="abc", *, offsets=(), channels=1):  # noqa: PLR0913 - a model
    """Return a network like `net` with weights of its own."""
    module, rng = Net(space, len(classes), channels), stream(seed, "other")
    for parameter in module.parameters():
        parameter.data = torch.randn(parameter.shape, generator=rng)
    kind = {"multiclass": MultiClass, "multilabel": type(net(task="multilabel").task)}[task]
    return Subject(
        module, task=kind(classes=tuple(classes), offsets=offsets), channels=channels, name=f"other{seed}"
    ).eval()


def test_logits_are_the_mean():
    members, images = [other(seed) for seed in range(3)], pictures((4, 1, 8, 8))
    whole = ensemble(members, name="three")
    expected = torch.stack([answers(member, images) for member in members]).mean(0)
    torch.testing.assert_close(answers(whole, images), expected)
    assert isinstance(whole.module, SurrogateEnsemble)
    assert members_of(whole) == tuple(members)
    assert whole.name == "three"
    assert not whole.training
    alone = ensemble(members[:1])
    assert torch.equal(answers(alone, images), answers(members[0], images))
    assert members_of(members[0]) == (members[0],)


def test_the_operating_point_is_the_mean_of_the_members():
    members = [other(0, offsets=(0.0, 1.0, 2.0)), other(1)]
    whole, images = ensemble(members), pictures((4, 1, 8, 8))
    assert whole.task.offsets == (0.0, 0.5, 1.0)
    shifted = torch.stack([member.task.shift(answers(member, images)) for member in members]).mean(0)
    torch.testing.assert_close(whole.task.shift(answers(whole, images)), shifted)
    assert ensemble([other(0), other(1)]).task.offsets == ()


@pytest.mark.parametrize("channels", [1, 3])
def test_each_member_prepares_the_images_for_itself(channels):
    grey, colour = other(0), other(1, channels=3)
    images = pictures((3, channels, 8, 8))
    found = answers(ensemble([grey, colour]), images)
    torch.testing.assert_close(found, (answers(grey, images) + answers(colour, images)) / 2)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ([], "members must be at least 1 model, got 0"),
        (
            [other(0), other(1, classes="acb")],
            r"members must have one task and the same classes in the same order, got 'other0' .* a, b, c\).* a, c, b\)",
        ),
        ([other(0), other(1, task="multilabel")], r"got 'other0' \(multiclass: a, b, c\) and 'other1' \(multilabel: a"),
    ],
    ids=["none", "order", "task"],
)
def test_refuses_members_that_answer_other_questions(others, message):
    with pytest.raises(InputError, match=message):
        ensemble(others)


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
@pytest.mark.parametrize("space", [2, 3])
def test_an_ensemble_is_attacked_and_left_as_it_was(task, space):
    members = [other(seed, space, task).train() for seed in range(2)]
    whole, images = ensemble(members), pictures((4, 1, *(6,) * space))
    assert whole.training
    logits = answers(ensemble([other(seed, space, task) for seed in range(2)]), images)
    targets = logits.argmax(1) if task == "multiclass" else (logits > 0).float()
    goal = Avoid() if task == "multiclass" else FlipAll()
    result = run(SVRE(steps=4, inner=4), whole, images, targets, Threat(goal, Ball("linf", 0.1)))
    gain = goal.objective(whole.task, result.logits, targets) - goal.objective(whole.task, logits, targets)
    assert (gain > 0).all()
    assert all(member.training for member in members)
    assert all(parameter.requires_grad and parameter.grad is None for parameter in whole.parameters())


def reference(members, images, targets, picks, steps):
    """SVRE-MI-FGSM as the paper writes it: both gradients of the member that was drawn, in every inner step."""
    low, high = (images - 0.03).clamp(min=0), (images + 0.03).clamp(max=1)

    def slope(chosen, at):
        leaf = at.clone().requires_grad_()
        logits = sum(member(leaf) for member in chosen) / len(chosen)
        return torch.autograd.grad(nn.functional.cross_entropy(logits, targets, reduction="sum"), leaf)[0]

    def unit(gradient):
        return gradient / gradient.abs().mean((1, 2, 3), keepdim=True)

    found, outer = images, 0
    for step in range(steps):
        mean, inside, inner = slope(members, found), found, 0
        for pick in picks[step]:
            member = [members[pick]]
            inner = inner + unit(slope(member, inside) - (slope(member, found) - mean))
            inside = (inside + 0.003 * inner.sign()).clamp(low, high)
        outer = outer + unit(inner)
        found = (found + 0.003 * outer.sign()).clamp(low, high)
    return found


def test_svre_is_the_algorithm_of_the_paper():
    members, images = [other(seed) for seed in range(3)], pictures((3, 1, 8, 8))
    whole = ensemble(members)
    targets = answers(whole, images).argmax(1)
    result = run(SVRE(steps=5, inner=6), whole, images, targets, THREAT)
    for row in range(3):
        own = stream(0, "attack", str(row))
        picks = [torch.randint(3, (6,), generator=own).tolist() for _ in range(5)]
        expected = reference(members, images[row : row + 1], targets[row : row + 1], picks, 5)
        assert ((result.images[row] - expected[0]).abs() < 1e-6).float().mean() > 0.98, row
    momentum = run(MIFGSM(steps=5), whole, images, targets, THREAT)
    assert ((result.images - momentum.images).abs() < 1e-6).float().mean() < 0.95, "the inner walk matters here"


def test_one_member_needs_no_correction():
    model, images = other(0), pictures((3, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    result = run(SVRE(steps=4, inner=5), model, images, targets, THREAT)
    expected = reference([model], images, targets, [[0] * 5] * 4, 4)
    assert ((result.images - expected).abs() < 1e-6).float().mean() > 0.98
    alone = run(SVRE(steps=4, inner=5), ensemble([model]), images, targets, THREAT)
    assert torch.equal(alone.images, result.images)
    assert result.cost.backwards == 3 * 4 * 5, "the gradient of the outer iterate is also that of the first inner step"


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_one_inner_step_is_momentum_iteration(norm):
    whole, images = ensemble([other(0), other(1)]), pictures((4, 1, 8, 8))
    targets, threat = answers(whole, images).argmax(1), Threat(Avoid(), Ball(norm, 0.1))
    found = [run(attack, whole, images, targets, threat).images for attack in (SVRE(inner=1), MIFGSM())]
    torch.testing.assert_close(*found, rtol=0, atol=1e-5)


def test_passes_through_members_are_counted():
    whole, images = ensemble([other(0), other(1)]), pictures((4, 1, 8, 8))
    calls = []
    whole.module.networks[0].module.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    whole.module.networks[1].module.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    cost = run(SVRE(steps=2, inner=4), whole, images, torch.zeros(4, dtype=torch.long), THREAT).cost
    assert cost.forwards == cost.backwards == 4 * 2 * (1 + 2 + 3), "one of the ensemble, one of each member, inner ones"
    assert sum(calls) == 4 * 2 * (2 + 2 + 3) + 4 * 2, "and two at the end, to measure"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"inner": 0}, "inner must be a whole number of at least 1, got 0"),
        ({"inner_step": 0}, "inner_step must be a positive fraction of the radius, got 0"),
        ({"inner_decay": -1}, "inner_decay must be a number of at least 0, got -1"),
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        SVRE(**options)
