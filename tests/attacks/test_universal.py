"""Universal perturbations and stickers: the linear model's optimum, images never seen, and their files."""

import json
import math

import numpy as np
import pytest
import torch
from nets import answers, linear, net, pictures
from safetensors.torch import save_file
from victims import blobs, train_victim

from aseptic.attacks import LabelOnly, Sticker, Threat, Universal, run, train_sticker, train_universal
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.ops.windows import Window
from aseptic.tasks.multiclass import Avoid, Reach
from aseptic.tasks.multilabel import FlipAll, Suppress

SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (2, 4, 6, 5)], ids=["2-D", "3-D"])
REACH = Reach(name="no")


def learners(threat):
    """Return the trainers with a threat that each can learn in."""
    return [(train_universal, threat), (train_sticker, Threat(threat.goal, Window(0.25)))]


def known(n, seed):
    """Return images that the trained network knows, and their kinds."""
    images, kinds = blobs(2 * n, seed=seed)
    right = answers(train_victim().model, images).argmax(1) == kinds
    return images[right][:n], kinds[right][:n]


@SHAPES
@pytest.mark.parametrize(("norm", "radius", "dual"), [("linf", 0.02, 1), ("l2", 0.2, 2)])
def test_finds_the_one_best_perturbation_of_the_linear_model(shape, norm, radius, dual):
    """Against one class of a linear model nothing that knows the image does better."""
    model, few = linear(shape), 0.5 + 0.2 * (pictures((8, *shape)) - 0.5)
    ones, threat = torch.ones(8, dtype=torch.long), Threat(REACH, Ball(norm, radius))
    attack = train_universal(model, few, ones, threat)
    weight = model.module.weight.detach()
    best = -radius * (weight.sign() if norm == "linf" else weight / weight.norm())
    torch.testing.assert_close(attack.perturbation, best, rtol=1e-4, atol=1e-7)
    unseen = 0.5 + 0.2 * (pictures((20, *shape), seed=1) - 0.5)
    result = run(attack, model, unseen, torch.ones(20, dtype=torch.long), threat)
    drop = (answers(model, unseen) - result.logits)[:, 1]
    torch.testing.assert_close(
        drop, torch.full((20,), radius * float(weight.flatten().norm(p=dual))), rtol=1e-3, atol=0
    )


@SHAPES
@pytest.mark.parametrize("place", ["centre", "corner"])
def test_fills_a_sticker_in_the_one_best_way(shape, place):
    model, few = linear(shape), pictures((8, *shape))
    window, ones = Window(0.2), torch.ones(8, dtype=torch.long)
    attack = train_sticker(model, few, ones, Threat(REACH, window), place=place)
    sides = window.sides(shape[1:])
    first = [(n - s) // 2 if place == "centre" else 0 for n, s in zip(shape[1:], sides, strict=True)]
    box = (slice(None), *(slice(f, f + s) for f, s in zip(first, sides, strict=True)))
    assert torch.equal(attack.patch, (model.module.weight.detach()[box] < 0).float())
    unseen = pictures((5, *shape), seed=1)
    result = run(attack, model, unseen, ones[:5], Threat(REACH, window))
    expected = unseen.clone()
    expected[(slice(None), *box)] = attack.patch
    assert torch.equal(result.images, expected), "the patch inside, and not a bit changed outside"


@pytest.mark.parametrize("goal", [Avoid(), Reach(name="b")], ids=repr)
@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.2), ("l2", 1.5)])
def test_fools_on_images_that_it_never_saw(goal, norm, radius):
    """Far more than noise of the same size, and nearly as often as on those that it was learned from."""
    (seen, kinds), (unseen, truth) = known(60, seed=5), known(100, seed=3)
    threat = Threat(goal, Ball(norm, radius))
    attack = train_universal(train_victim().model, seen, kinds, threat)
    result = run(attack, train_victim().model, unseen, truth, threat)
    share = float(result.success[result.eligible].float().mean())
    noise = threat.budget.steepest(torch.randn(1, 1, 10, 10, generator=stream(0)))[0] * radius
    control = run(Universal(perturbation=noise), train_victim().model, unseen, truth, threat)
    assert share > 0.25
    assert share > 2 * float(control.success[control.eligible].float().mean())
    assert abs(share - attack.facts["reached"]) < 0.25
    assert result.queries.isnan().all(), "nothing is asked of the model"
    assert result.cost.forwards == result.cost.backwards == 0


@pytest.mark.parametrize("place", ["centre", "corner", "random"])
def test_a_sticker_fools_on_images_that_it_never_saw(place):
    (seen, kinds), (unseen, truth) = known(60, seed=5), known(100, seed=3)
    threat = Threat(Avoid(), Window(0.15))
    attack = train_sticker(train_victim().model, seen, kinds, threat, place=place)
    result = run(attack, train_victim().model, unseen, truth, threat)
    noise = Sticker(patch=torch.rand(attack.patch.shape, generator=stream(0)), place=place)
    control = run(noise, train_victim().model, unseen, truth, threat)
    assert result.success.float().mean() > 0.2
    assert result.success.float().mean() > 2.5 * control.success.float().mean()
    assert (result.distance <= 0.15).all()


@pytest.mark.parametrize(("norm", "radius"), [("linf", 0.2), ("l2", 1.5)])
def test_fools_as_often_as_that_of_art(norm, radius):
    evasion = pytest.importorskip("art.attacks.evasion", reason="ART is not installed")
    classifiers = pytest.importorskip("art.estimators.classification", reason="ART is not installed")
    (seen, kinds), (unseen, truth) = known(80, seed=5), known(100, seed=3)
    classifier = classifiers.PyTorchClassifier(
        train_victim().model, torch.nn.CrossEntropyLoss(), (1, 10, 10), 5, clip_values=(0, 1)
    )
    order = np.inf if norm == "linf" else 2
    theirs = evasion.UniversalPerturbation(
        classifier,
        attacker="fgsm",
        attacker_params={"eps": radius, "norm": order},
        delta=0.01,
        max_iter=3,
        eps=radius,
        norm=order,
        verbose=False,
    )
    np.random.seed(0)  # noqa: NPY002, TID251 - ART draws from it
    theirs.generate(seen.numpy(), kinds.numpy())
    threat = Threat(Avoid(), Ball(norm, radius))
    ours, others = (
        float(run(attack, train_victim().model, unseen, truth, threat).success.float().mean())
        for attack in (
            train_universal(train_victim().model, seen, kinds, threat),
            Universal(perturbation=torch.from_numpy(theirs.noise.reshape(1, 10, 10)).float()),
        )
    )
    assert others > 0.1
    assert ours >= others - 0.05, f"{ours} of ours, {others} of theirs"


def test_several_models_share_it():
    first, second = linear((1, 6, 6)), linear((1, 6, 6))
    with torch.no_grad():
        second.module.weight.copy_(torch.randn(1, 6, 6, generator=stream(5)))
    images, ones, threat = pictures((8, 1, 6, 6)), torch.ones(8, dtype=torch.long), Threat(REACH, Ball("linf", 0.02))
    alone, twice, both = (
        train_universal(models, images, ones, threat) for models in (first, [first, first], [first, second])
    )
    assert torch.equal(alone.perturbation, twice.perturbation)
    sizes = [
        [float((model.module.weight.detach() * attack.perturbation).sum()) for attack in (alone, both)]
        for model in (first, second)
    ]
    assert sizes[0][0] < sizes[0][1] < 0, "it gives a little of the first model"
    assert sizes[1][1] < sizes[1][0], "to gain on the second"
    assert both.facts["models"] == ["Linear", "Linear"]


def test_restarts_only_help_and_the_first_is_the_plain_one():
    seen, kinds = known(40, seed=5)
    for train, threat in learners(Threat(Avoid(), Ball("l2", 1.5))):
        plain, *_ = found = [train(train_victim().model, seen, kinds, threat, restarts=n, epochs=8) for n in (1, 3, 6)]
        reached = [attack.facts["reached"] for attack in found]
        assert reached == sorted(reached)
        assert plain.facts["restarts"] == 1
    threat = Threat(Avoid(), Ball("l2", 1.5))
    one, six = (train_universal(train_victim().model, seen, kinds, threat, restarts=n).facts["reached"] for n in (1, 6))
    assert six > one + 0.1, "the beginning matters here"


def test_images_that_have_long_fallen_do_not_lead_the_way():
    model, images = linear((1, 6, 6)), pictures((2, 1, 6, 6))
    with torch.no_grad():
        images[0] = (model.module.weight[0] > 0).float()  # far on the side of yes
    targets, threat = torch.tensor([0, 1]), Threat(Avoid(), Ball("linf", 0.02))
    both = train_universal(model, images, targets, threat, clip=3.0)
    alone = train_universal(model, images[1:], targets[1:], threat, clip=3.0)
    assert answers(model, images)[0, 1] > 3
    torch.testing.assert_close(both.perturbation, alone.perturbation)


@pytest.mark.parametrize("shape", [(6, 1, 8, 8), (6, 1, 5, 4, 6)], ids=["2-D", "3-D"])
def test_training_keeps_its_manners(shape):
    model, images = net(len(shape) - 2, task="multilabel").train(), pictures(shape)
    targets = (answers(net(len(shape) - 2, task="multilabel"), images) > 0).float()
    targets[0] = torch.nan
    state, kept, before = torch.get_rng_state(), images.clone(), {k: v.clone() for k, v in model.state_dict().items()}
    for train, threat in learners(Threat(FlipAll(), Ball("linf", 0.1))):
        first, again = (train(model, images, targets, threat, epochs=3, batch_size=4) for _ in range(2))
        other = train(model, images, targets, threat, epochs=3, batch_size=4, seed=1)
        name = "patch" if isinstance(first, Sticker) else "perturbation"
        assert torch.equal(getattr(first, name), getattr(again, name)), "same seed, same result"
        assert not torch.equal(getattr(first, name), getattr(other, name))
        assert not getattr(first, name).requires_grad
        assert first.facts["images"] == 5, "one is not eligible"
    assert model.training
    assert torch.equal(images, kept)
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())
    assert all(parameter.grad is None and parameter.requires_grad for parameter in model.parameters())


def test_a_smaller_budget_gets_a_smaller_perturbation():
    model, images = net(), pictures((3, 1, 8, 8))
    attack = Universal(perturbation=0.1 * torch.randn(1, 8, 8, generator=stream(0)))
    for norm, radius in (("linf", 0.01), ("l2", 0.1), ("l1", 0.3)):
        threat = Threat(Avoid(), Ball(norm, radius), LabelOnly())
        result = run(attack, model, images, torch.tensor([0, 1, 2]), threat)
        assert (result.distance <= radius * (1 + 1e-4)).all()
        assert (result.distance > 0.5 * radius).all()


def test_files_bring_everything_back(tmp_path):
    model, images = net(), pictures((4, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    for train, threat in learners(Threat(Avoid(), Ball("linf", 0.1))):
        attack = train(model, images, targets, threat, epochs=2)
        attack.save(tmp_path / "learned.safetensors")
        back = type(attack).load(tmp_path / "learned.safetensors")
        for name in {"perturbation", "patch", "place"} & set(vars(attack)):
            assert np.array_equal(getattr(back, name), getattr(attack, name))
        assert back.facts == json.loads(json.dumps(attack.facts))
        assert back.facts["goal"] == "avoid the true class"
        assert back.facts["radius"] == threat.budget.radius
        pair = [run(each, model, images, targets, threat).images for each in (attack, back)]
        assert torch.equal(*pair)


def test_refuses_files_of_something_else(tmp_path):
    path = tmp_path / "file.safetensors"
    with pytest.raises(InputError, match="is not a file"):
        Universal.load(path)
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="is damaged or is no safetensors file"):
        Universal.load(path)
    save_file({"perturbation": torch.zeros(1, 4, 4)}, path)
    with pytest.raises(InputError, match=r"must hold a perturbation, as its save\(\) writes it"):
        Universal.load(path)
    Universal(perturbation=torch.zeros(1, 4, 4)).save(path)
    with pytest.raises(InputError, match=r"must hold a patch, as its save\(\) writes it"):
        Sticker.load(path)


def test_refuses_images_of_another_size():
    model, threat = net(), Threat(Avoid(), Ball("linf", 0.1))
    with pytest.raises(InputError, match=r"images must be of the perturbation's size \[1, 9, 8\], got \[1, 8, 8\]"):
        run(Universal(perturbation=torch.zeros(1, 9, 8)), model, pictures((1, 1, 8, 8)), torch.tensor([0]), threat)


@pytest.mark.parametrize(
    ("shape", "share", "message"),
    [
        ((1, 3, 3), 0.1, r"the patch must fit into the window \[2, 2\] of the budget, got \[3, 3\]"),
        ((2, 2, 2), 0.1, r"images must have the patch's channels and axes \[2, 2, 2\], got \[1, 8, 8\]"),
        ((1, 2, 2, 2), 0.1, r"images must have the patch's channels and axes \[1, 2, 2, 2\], got \[1, 8, 8\]"),
    ],
)
def test_refuses_stickers_that_do_not_fit(shape, share, message):
    with pytest.raises(InputError, match=message):
        run(
            Sticker(patch=torch.zeros(shape)),
            net(),
            pictures((1, 1, 8, 8)),
            torch.tensor([0]),
            Threat(Avoid(), Window(share)),
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "epochs must be a whole number of at least 1, got 0"),
        ({"step": 0}, "step must be a positive number, got 0"),
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        ({"clip": math.nan}, "clip must be a number, got nan"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
    ],
)
def test_refuses_courses_without_meaning(change, message):
    for train, threat in learners(Threat(Avoid(), Ball("linf", 0.1))):
        with pytest.raises(InputError, match=message):
            train(net(), pictures((2, 1, 8, 8)), torch.tensor([0, 1]), threat, **change)


def test_refuses_what_cannot_be_learned():
    images, ones, ball = pictures((2, 1, 8, 8)), torch.tensor([1, 1]), Ball("linf", 0.1)
    with pytest.raises(InputError, match=r"some image must be eligible for the goal \(reach 'b'\), got none"):
        train_universal(net(), images, ones, Threat(Reach(name="b"), ball))
    with pytest.raises(InputError, match="the goal of a multiclass model must be one of Avoid, Reach; got Suppress"):
        train_universal(net(), images, ones, Threat(Suppress(name="a"), ball))
    with pytest.raises(InputError, match="models must be at least one, got none"):
        train_universal([], images, ones, Threat(Avoid(), ball))
    with pytest.raises(InputError, match=r"models must have one task, got \[\['a', 'b', 'c'\], \['a', 'b'\]\]"):
        train_universal([net(), net(outputs=2)], images, ones, Threat(Avoid(), ball))
    with pytest.raises(InputError, match="a sticker is learned in a window, got a budget in linf"):
        train_sticker(net(), images, ones, Threat(Avoid(), ball))
    with pytest.raises(InputError, match=r"the window must hold a value, got sides \[0, 0\] of \[8, 8\]"):
        train_sticker(net(), images, ones, Threat(Avoid(), Window(0.01)))
    with pytest.raises(InputError, match="place must be one of centre, corner, random; got 'eye'"):
        train_sticker(net(), images, ones, Threat(Avoid(), Window(0.1)), place="eye")


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        (
            "perturbation",
            torch.zeros(8, 8),
            r"a perturbation must be float32 with 2 or 3 .*, got torch.float32 \[8, 8\]",
        ),
        ("perturbation", torch.zeros(1, 8, 8).double(), r"a perturbation must be float32 .*, got torch.float64"),
        ("perturbation", torch.full((1, 2, 2), torch.nan), "a perturbation must be finite, got 4 values that are not"),
        ("patch", torch.full((1, 2, 2), 1.5), r"a patch must lie in \[0, 1\], got \[1.5, 1.5\]"),
    ],
)
def test_refuses_what_is_no_picture(kind, value, message):
    with pytest.raises(InputError, match=message):
        {"perturbation": Universal, "patch": Sticker}[kind](**{kind: value})


class Constant(torch.nn.Module):
    """Ignores its images."""

    def forward(self, images):
        return torch.zeros(len(images), 2)


def test_a_model_that_ignores_its_images_cannot_be_learned_from():
    model = Subject(Constant(), task="multiclass", classes=["no", "yes"], channels=1)
    for train, threat in learners(Threat(Avoid(), Ball("linf", 0.1))):
        with pytest.raises(InputError, match="the model must be differentiable"):
            train(model, pictures((2, 1, 8, 8)), torch.tensor([0, 1]), threat)
