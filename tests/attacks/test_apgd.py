"""Auto-PGD against closed forms, against its own promises of cost, and against other implementations."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures
from planted import Scaled
from torch import nn

from aseptic.attacks import APGDCE, APGDDLR, APGDT, PGD, Threat, run
from aseptic.core.errors import InputError
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.ops.logits import spread
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll

ALL = pytest.mark.parametrize("kind", [APGDCE, APGDDLR, APGDT])
BUDGETS = [("linf", 0.05), ("l2", 0.4), ("l1", 2.0)]


@pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])
@pytest.mark.parametrize(("norm", "radius", "dual"), [("linf", 0.01, 1), ("l2", 0.1, 2), ("l1", 0.3, math.inf)])
@pytest.mark.parametrize("kind", [APGDCE, APGDT])
def test_reaches_the_linear_optimum(shape, norm, radius, dual, kind):
    model, images = linear(shape), torch.full((4, *shape), 0.5)
    threat, targets = Threat(Avoid(), Ball(norm, radius)), torch.ones(4, dtype=torch.long)
    result = run(kind(steps=30, stop=False), model, images, targets, threat)
    drop = (answers(model, images) - result.logits)[:, 1]
    best = radius * float(torch.linalg.vector_norm(model.module.weight.detach().flatten(), dual))
    torch.testing.assert_close(drop, torch.full_like(drop, best), rtol=1e-3, atol=1e-5)


class Bowl(nn.Module):
    """Logits ``(0, -1 - |x - c|^2)``: from class 0, the best that can be done is to stand on ``c``."""

    def __init__(self, centre):
        super().__init__()
        self.centre = centre

    def forward(self, images):
        far = ((images - self.centre) ** 2).flatten(1).sum(1)
        return torch.stack([torch.zeros_like(far), -1 - far], 1)


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.1), ("l2", 0.5)])
def test_halves_its_step_until_it_stands_on_the_top(norm, radius):
    """A step of fixed length jumps to and fro over the best point."""
    images = pictures((3, 1, 6, 6)) * 0.5 + 0.25
    centre = images[:1] + Ball(norm, 0.7 * radius).project(pictures((1, 1, 6, 6), 1) - 0.5)
    model = Subject(Bowl(centre), task="multiclass", classes=["in", "out"], channels=1)
    threat, targets = Threat(Avoid(), Ball(norm, radius)), torch.zeros(1, dtype=torch.long)
    found = [
        run(attack, model, images[:1], targets, threat).images - centre
        for attack in (APGDT(), PGD(steps=100, step=2.0, stop=False))
    ]
    ours, fixed = (float(Ball(norm, 1).size(delta)) for delta in found)
    assert ours < 0.02 * radius
    assert fixed > 0.2 * radius


@pytest.mark.parametrize(("norm", "radius"), BUDGETS)
def test_costs_one_pass_a_step(norm, radius):
    model, images = net(outputs=4), pictures((5, 1, 8, 8))
    threat, targets = Threat(Avoid(), Ball(norm, radius)), answers(net(outputs=4), images).argmax(1)
    calls = []
    model.module.register_forward_hook(lambda _, args, __: calls.append(len(args[0])))
    begun = 3 if norm == "l1" else 1  # searches that begin, in l1 in larger balls first
    cost = run(APGDCE(steps=10, stop=False), model, images, targets, threat).cost
    assert (cost.forwards, cost.backwards) == (5 * (10 + begun), 5 * 10)
    assert calls == [5] * (10 + begun + 1), "and one to measure"
    cost = run(APGDDLR(steps=10, stop=False, restarts=2), model, images, targets, threat).cost
    assert (cost.forwards, cost.backwards) == (5 * 2 * (10 + begun), 5 * 2 * 10)
    cost = run(APGDT(steps=10, stop=False), model, images, targets, threat).cost
    assert (cost.forwards, cost.backwards) == (5 * (1 + 3 * (10 + begun)), 5 * 3 * 10), "three other classes, ranked"


@ALL
def test_stopping_saves_passes_and_loses_nothing(kind, victim):
    images, targets = victim.images[:40], victim.targets[:40]
    threat = Threat(Avoid(), Ball("linf", 0.05))
    whole, early = (run(kind(steps=20, stop=stop), victim.model, images, targets, threat) for stop in (False, True))
    assert 0 < early.success.sum() < len(images), "the case must contain both outcomes"
    assert (early.success | ~whole.success).all()
    assert early.cost.forwards < 0.8 * whole.cost.forwards


def same(first, second):
    """Another batch is rounded differently, which now and then flips the sign of a gradient."""
    return ((first - second).abs() < 1e-4).float().mean() > 0.99


@pytest.mark.parametrize(("norm", "radius"), BUDGETS)
def test_neighbours_and_looking_less_often_change_nothing(norm, radius, victim, monkeypatch):
    images, targets, threat = victim.images[:30], victim.targets[:30], Threat(Avoid(), Ball(norm, radius))
    names = [f"image {row}" for row in range(30)]
    attack = APGDCE(steps=20)
    together = run(attack, victim.model, images, targets, threat, ids=names)
    apart = run(attack, victim.model, images[10:17], targets[10:17], threat, ids=names[10:17], batch_size=3)
    assert 0 < together.success.sum() < 30
    assert same(apart.images, together.images[10:17])
    monkeypatch.setattr("aseptic.attacks.apgd_core.LOOK_EVERY", {"cpu": 7})
    rarely = run(attack, victim.model, images, targets, threat, ids=names)
    assert same(rarely.images, together.images)


@pytest.mark.parametrize("kind", [APGDDLR, APGDT])
def test_the_ratio_does_not_see_the_scale_of_the_logits(kind, victim):
    """Logits of 10^5 leave the cross-entropy without a gradient, which looks like robustness."""
    loud = Subject(Scaled(victim.model.module, 2.0**17), task=victim.model.task, channels=1)
    threat = Threat(Avoid(), Ball("linf", 0.05))
    part = victim.images[:30], victim.targets[:30]
    quiet, scaled = (run(kind(steps=20), model, *part, threat) for model in (victim.model, loud))
    assert quiet.success.any()
    torch.testing.assert_close(scaled.images, quiet.images, rtol=0, atol=1e-6)
    deaf = run(APGDCE(steps=20, random_start=False), loud, *part, threat)
    assert deaf.success.sum() < quiet.success.sum()


def test_the_ratio_is_that_of_the_paper():
    logits = torch.tensor([[3.0, 7.0, 1.0, 5.0], [3.0, 7.0, 1.0, 5.0]])
    task, targets = net(outputs=4).task, torch.tensor([1, 0])
    ratio = Avoid().margin(task, logits, targets) / spread(logits, 3)
    torch.testing.assert_close(ratio, torch.tensor([-(7 - 5) / (7 - 3), -(3 - 7) / (7 - 3)]))
    torch.testing.assert_close(spread(logits, 3, 4), torch.full((2,), 7 - (3 + 1) / 2))


@pytest.mark.parametrize("outputs", [2, 3, 4])
def test_two_classes_are_enough_for_the_targeted_one(outputs):
    model, images = net(outputs=outputs), pictures((20, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.03))
    plain = run(PGD(steps=25, loss="margin", random_start=False), model, images, targets, threat)
    found = run(APGDT(steps=25), model, images, targets, threat)
    assert 0 < plain.success.sum() < 20
    assert found.success.sum() >= plain.success.sum()
    if outputs == 2:
        with pytest.raises(InputError, match=r"APGDDLR needs at least 3 classes, got 2; attacks that can: .*apgd-t"):
            run(APGDDLR(), model, images, targets, threat)


def test_other_goals():
    images = pictures((20, 1, 8, 8))
    for model in (net(), net(outputs=4)):
        targets = answers(model, images).argmax(1)
        for kind in (APGDCE, APGDDLR, APGDT):
            found = run(kind(steps=30), model, images, targets, Threat(Reach(name="b"), Ball("linf", 0.2)))
            assert found.success[found.eligible].all()
            assert (found.logits.argmax(1)[found.eligible] == 1).all()
    model = net(task="multilabel")
    targets = (answers(model, images) > 0).float()
    targets[:, 1] = torch.nan
    for budget in (Ball("l2", 3.0), Ball("l2", 0.3)):
        smooth, found = (
            run(kind(steps=30), model, images, targets, Threat(FlipAll(), budget)) for kind in (APGDCE, APGDT)
        )
        assert found.success.sum() > smooth.success.sum(), "a mean over findings gives up the hardest one"
        assert ((found.logits[:, ::2] > 0) != (targets[:, ::2] > 0)).all(1).equal(found.success)


def test_begins_where_it_is_told_to():
    model, images = net(), pictures((8, 1, 8, 8))
    targets, threat = answers(model, images).argmax(1), Threat(Avoid(), Ball("linf", 0.1))
    first = run(APGDCE(steps=20), model, images, targets, threat)
    again = run(APGDCE(steps=20), model, images, targets, threat, start=first.images)
    assert first.success.all()
    assert torch.equal(first.images, again.images)
    assert again.cost.forwards == len(images), "they have fallen where they begin"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        ({"rho": 1.5}, r"rho must lie in \(0, 1\], got 1.5"),
        ({"momentum": math.nan}, r"momentum must lie in \(0, 1\], got nan"),
        ({"classes": 0}, "classes must be a whole number of at least 1, got 0"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        APGDT(**options)


def left_standing(victim, images):
    return int((answers(victim.model, images).argmax(1) == victim.targets[: len(images)]).sum())


@pytest.mark.parametrize(("norm", "radius"), BUDGETS[:2])
def test_as_strong_as_torchattacks(norm, radius, victim):
    """At most one image of eighty more left standing than by the other implementation, method by method."""
    peer = pytest.importorskip("torchattacks", reason="torchattacks is not installed")
    attacked, threat = (victim.images[:80], victim.targets[:80]), Threat(Avoid(), Ball(norm, radius))
    how = {"norm": norm.capitalize(), "eps": radius, "steps": 20}
    for ours, theirs in (
        (APGDCE(steps=20), peer.APGD(victim.model, loss="ce", **how)),
        (APGDDLR(steps=20), peer.APGD(victim.model, loss="dlr", **how)),
        (APGDT(steps=20), peer.APGDT(victim.model, n_classes=5, **how)),
    ):
        left = int((~run(ours, victim.model, *attacked, threat, batch_size=80).success).sum())
        assert 8 < left < 72, "the case must contain both outcomes"
        assert left <= left_standing(victim, theirs(*attacked)) + 1


@pytest.mark.parametrize(("norm", "radius"), BUDGETS[:2])
def test_as_strong_as_art(norm, radius, victim):
    """At most one image of eighty more left standing."""
    evasion = pytest.importorskip("art.attacks.evasion", reason="adversarial-robustness-toolbox is not installed")
    from art.estimators.classification import PyTorchClassifier  # noqa: PLC0415 - present with the line above

    wrapped = PyTorchClassifier(
        victim.model, nn.CrossEntropyLoss(), (1, 10, 10), 5, clip_values=(0.0, 1.0), device_type="cpu"
    )
    peer = evasion.AutoProjectedGradientDescent(
        wrapped, norm=math.inf if norm == "linf" else 2, eps=radius, eps_step=2 * radius, max_iter=20,
        nb_random_init=1, batch_size=80, loss_type="cross_entropy", verbose=False,
    )  # fmt: skip
    images, targets = victim.images[:80], victim.targets[:80]
    theirs = torch.from_numpy(peer.generate(images.numpy(), targets.numpy()))
    ours = run(APGDCE(steps=20), victim.model, images, targets, Threat(Avoid(), Ball(norm, radius)), batch_size=80)
    assert int((~ours.success).sum()) <= left_standing(victim, theirs) + 1
