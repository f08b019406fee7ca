"""Many budgets in one call: never weaker than a cold start at each of them, and monotone in the radius."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import answers, net, pictures

from aseptic.attacks import BIM, DIFGSM, FGSM, MIFGSM, PGD, EvasionAttack, Square, Threat, curve, run
from aseptic.core.errors import InputError
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Suppress

RADII = {"linf": [0.004, 0.01, 0.03], "l2": [0.03, 0.1, 0.3], "l1": [0.2, 0.6, 2.0]}
ATTACKS = [PGD(steps=3), PGD(steps=3, stop=False), BIM(steps=3), FGSM(), MIFGSM(steps=4, step=0.3), DIFGSM(steps=3)]


def case(goal, space=2, seed=0, count=8):
    model, images = net(space, task=goal.task), pictures((count, 1, *(6,) * space), seed)
    logits = answers(model, images)
    return model, images, logits.argmax(1) if goal.task == "multiclass" else (logits > 0).float()


@given(
    seed=st.integers(0, 1000),
    attack=st.sampled_from(ATTACKS),
    norm=st.sampled_from(sorted(RADII)),
    goal=st.sampled_from([Avoid(), Reach(name="b"), FlipAll(), Suppress(name="a")]),
    space=st.sampled_from([2, 3]),
)
@settings(max_examples=25, deadline=None)
def test_never_weaker_than_a_cold_start_and_monotone(seed, attack, norm, goal, space):
    model, images, targets = case(goal, space, seed)
    found = curve(attack, model, images, targets, goal, norm, RADII[norm], seed=seed)
    before = torch.zeros(len(images), dtype=torch.bool)
    for radius, warm in zip(RADII[norm], found, strict=True):
        cold = run(attack, model, images, targets, Threat(goal, Ball(norm, radius)), seed=seed)
        assert torch.equal(warm.eligible, cold.eligible)
        rows = warm.eligible
        assert (warm.success >= cold.success).all()
        assert (warm.margin.clamp(max=0) >= cold.margin.clamp(max=0) - 1e-5)[rows].all()
        assert (warm.success >= before).all(), "monotone in the radius"
        before = warm.success
        size = Ball(norm, radius).size(warm.images - images)
        assert (size <= radius * 1.0001 + 1e-5).all()
        torch.testing.assert_close(warm.distance, size)
        torch.testing.assert_close(warm.logits, answers(model, warm.images), rtol=1e-4, atol=1e-5)
        margin = goal.margin(model.task, warm.logits, targets)
        torch.testing.assert_close(warm.margin, margin)
        assert torch.equal(warm.success, (warm.margin > 0) & rows)
        assert torch.equal(warm.images[~rows], images[~rows])


def test_a_warm_start_gains_and_saves():
    """With few steps the earlier work counts: more images fall than from cold starts; those that fell cost one pass."""
    model, images, targets = case(Avoid(), count=48)
    attack, radii = PGD(steps=4), [0.004, 0.006, 0.01, 0.016, 0.03, 0.06]
    found = curve(attack, model, images, targets, Avoid(), "linf", radii)
    cold = [run(attack, model, images, targets, Threat(Avoid(), Ball("linf", radius))) for radius in radii]
    fallen, alone = (sum(int(one.success.sum()) for one in results) for results in (found, cold))
    assert fallen > 1.1 * alone
    assert found[-1].cost.forwards < 0.7 * cold[-1].cost.forwards


def test_what_withstands_is_paid_for_once_cold_and_a_quarter_warm():
    model, images, targets = case(Avoid(), count=6)
    found = curve(PGD(steps=8), model, images, targets, Avoid(), "linf", [1e-6, 2e-6, 3e-6])
    assert not any(one.success.any() for one in found)
    assert [one.cost.backwards for one in found] == [6 * 8, 6 * (8 + 2), 6 * (8 + 2)]
    once = curve(FGSM(), model, images, targets, Avoid(), "linf", [1e-6, 2e-6])
    assert [one.cost.backwards for one in once] == [6, 12], "without steps there is no quarter"


@given(seed=st.integers(0, 1000), norm=st.sampled_from(sorted(RADII)), space=st.sampled_from([2, 3]))
@settings(max_examples=10, deadline=None)
def test_nested_agrees_with_cold_starts_wherever_the_larger_radius_was_reached(seed, norm, space):
    model, images, targets = case(Avoid(), space, seed)
    attack = PGD(steps=6, random_start=False)
    found = curve(attack, model, images, targets, Avoid(), norm, RADII[norm], seed=seed, nested=True)
    larger = torch.ones(len(images), dtype=torch.bool)
    for radius, one in reversed([*zip(RADII[norm], found, strict=True)]):
        cold = run(attack, model, images, targets, Threat(Avoid(), Ball(norm, radius)), seed=seed)
        assert (one.success >= (cold.success & larger)).all()
        assert (one.distance <= radius * 1.0001 + 1e-5).all()
        torch.testing.assert_close(one.logits, answers(model, one.images), rtol=1e-4, atol=1e-5)
        larger = one.success


def test_nested_attacks_in_vain_only_once():
    model, images, targets = case(Avoid(), count=24)
    attack, radii = PGD(steps=20, random_start=False), [0.001, 0.002, 0.003, 0.004, 0.005]
    strict, nested = (curve(attack, model, images, targets, Avoid(), "linf", radii, nested=n) for n in (False, True))
    assert all(torch.equal(a.success, b.success) for a, b in zip(strict, nested, strict=True))
    spent = [sum(one.cost.backwards for one in results) for results in (strict, nested)]
    assert spent[1] < spent[0] / 3


class Fickle(EvasionAttack):
    """Does as PGD does, but nothing at all within large radii."""

    def perturb(self, model, batch):
        return batch.images if batch.threat.budget.radius > 0.03 else PGD().perturb(model, batch)


def test_what_a_smaller_radius_reached_is_kept():
    model, images, targets = case(Avoid(), count=24)
    small, large = curve(Fickle(), model, images, targets, Avoid(), "linf", [0.03, 0.05])
    assert 0 < small.success.sum() < len(images)
    assert torch.equal(small.success, large.success)
    assert torch.equal(small.images, large.images)
    assert large.cost.forwards == 0, "what is kept is not paid for again"


def test_results_come_in_the_order_of_the_radii():
    model, images, targets = case(Avoid())
    radii = [0.03, 0.004, 0.01]
    mixed = curve(BIM(), model, images, targets, Avoid(), "linf", radii)
    ordered = curve(BIM(), model, images, targets, Avoid(), "linf", sorted(radii))
    for radius, one in zip(radii, mixed, strict=True):
        same = ordered[sorted(radii).index(radius)]
        assert torch.equal(one.images, same.images)
        assert one.cost.forwards == same.cost.forwards


def test_a_radius_of_zero_is_no_attack():
    model, images, targets = case(Avoid())
    none, some = curve(PGD(), model, images, targets, Avoid(), "l2", [0, 0.1])
    assert torch.equal(none.images, images)
    expected = run(PGD(), model, images, targets, Threat(Avoid(), Ball("l2", 0.1)))
    assert torch.equal(some.success, expected.success)
    assert some.cost.forwards == expected.cost.forwards, "there is nothing to scale up: the start is cold"


def test_names_give_the_streams():
    model, images, targets = case(Avoid())
    names = [f"image{row}" for row in range(len(images))]
    found = curve(PGD(steps=3), model, images, targets, Avoid(), "linf", [0.004, 0.01], ids=names)
    back = curve(
        PGD(steps=3),
        model,
        images.flip(0),
        targets.flip(0),
        Avoid(),
        "linf",
        [0.004, 0.01],
        ids=names[::-1],
        batch_size=3,
    )
    for one, other in zip(found, back, strict=True):
        torch.testing.assert_close(one.images, other.images.flip(0), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("radii", "message"),
    [
        ([], r"radii must be distinct numbers, at least 1, got \[\]"),
        ([0.1, 0.2, 0.1], r"radii must be distinct numbers, at least 1, got \[0.1, 0.2, 0.1\]"),
        ([0.1, -0.1], "radius must be a finite number of at least 0, got -0.1"),
        ([0.1, float("nan")], "radius must be a finite number of at least 0, got nan"),
    ],
)
def test_refuses_radii_without_meaning(radii, message):
    model, images, targets = case(Avoid())
    with pytest.raises(InputError, match=message):
        curve(BIM(), model, images, targets, Avoid(), "linf", radii)


def test_refuses_attacks_that_ask():
    model, images, targets = case(Avoid())
    with pytest.raises(InputError, match="a curve needs an attack with gradients, got Square, which needs scores"):
        curve(Square(), model, images, targets, Avoid(), "linf", [0.1])
