"""Cures of a network that is known unit by unit, their formulas, and what they must leave alone."""

import copy
import math
from dataclasses import fields, replace
from itertools import pairwise

import pytest
import torch
from nets import net, pictures, segnet
from planted_unit import CLASSES, PLANTED, clean, infected, planted, rates
from torch import nn

from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.defences import ANP, DEFENCES, IBAU, FinePruning, FineTuning, make_defence
from aseptic.defences.anp import _Shaking, shaken
from aseptic.defences.base import lessons
from aseptic.defences.fine_pruning import activity
from aseptic.defences.neurons import quality, units_of
from aseptic.models.guard import fingerprint
from aseptic.models.subject import Subject

KINDS = [{}, {"norm": True}, {"task": "multilabel"}, {"dims": 3}]
NAMES = ["classes", "normalised", "findings", "volumes"]


def of(more):
    return {name: value for name, value in more.items() if name != "norm"}


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_pruning_removes_exactly_the_unit_that_sleeps(more):
    model, data = planted(**more), clean(**of(more))
    assert rates(model, data) == (1, 1)
    cured = FinePruning(epochs=0, allowed=0.0).cure(model, data)
    assert rates(cured, data) == (1, 0)
    changed = [name for name, was in fingerprint(model).items() if fingerprint(cured)[name] != was]
    carrier = "module.norm" if "norm" in more else "module.units"
    assert changed == [f"{carrier}.weight", f"{carrier}.bias"]
    for name in changed:
        before, after = dict(model.named_parameters())[name], dict(cured.named_parameters())[name]
        rows = (before != after).flatten(1).any(1) if before.ndim > 1 else before != after
        assert rows.nonzero()[:, 0].tolist() == [PLANTED]
        assert not after[PLANTED].any()


def test_what_was_cut_stays_cut_while_training_goes_on():
    cured = FinePruning(epochs=2, allowed=0.0, lr=1e-3).cure(planted(norm=True), clean())
    assert cured.module.norm.weight[PLANTED] == cured.module.norm.bias[PLANTED] == 0
    assert not torch.equal(cured.module.head.weight, planted().module.head.weight), "the rest has learned"
    assert rates(cured, clean()) == (1, 0)


def test_as_many_units_are_cut_as_quality_allows():
    model, data = planted(), clean()
    order = activity(model, units_of(model, data.images, None), data, 7)
    wanted = model.module.units(data.images).relu().mean((0, 2, 3))
    torch.testing.assert_close(order.float(), wanted.detach())
    assert order.argsort().tolist() == [PLANTED, 0, 3, 1]
    cured = FinePruning(epochs=0, allowed=0.9).cure(model, data)
    assert cured.module.units.weight.flatten(1).any(1).tolist() == [False, True, False, False] or (
        cured.module.units.bias.count_nonzero() == 1
    ), "one unit always stays"
    assert quality(model, data, 5) == 1


@pytest.mark.parametrize("more", KINDS, ids=NAMES)
def test_shaking_finds_the_unit_that_a_small_change_sets_off(more):
    model, data = planted(**more), clean(**of(more))
    defence = ANP(steps=30, batch_size=24)
    layers = shaken(model, data.images)
    assert list(layers) == ["module.norm" if "norm" in more else "module.units"]
    masks, course = defence.masks(copy.deepcopy(model), layers, data, seed=0, watch=lambda _, __: None)
    (masks,), (course,) = masks.values(), course.values()
    assert masks[PLANTED] < 0.2
    assert course.argmin() == PLANTED
    assert ((course >= 0) & (course <= 1 + 1e-5)).all()
    assert masks[0] > 0.8, "clean images need it"
    cured = defence.cure(model, data)
    assert rates(cured, data) == (1, 0)


def test_no_more_units_are_cut_than_clean_images_can_spare(monkeypatch):
    """All masks have sunk; the planted unit went first, then one that says nothing, then the one that is needed."""
    sunk = {"module.units": torch.zeros(4)}, {"module.units": torch.tensor([0.3, 0.9, 0.1, 0.2])}
    monkeypatch.setattr(ANP, "masks", lambda *_, **__: sunk)
    model, data = planted(), clean()
    with torch.no_grad():
        model.module.units.weight[3] = 0.01
    cured, spoiled = (ANP(allowed=allowed).cure(model, data) for allowed in (0.0, 1.0))
    assert cured.module.units.weight.flatten(1).any(1).tolist() == [True, True, False, False]
    assert torch.equal(cured.module.units.weight[:2], model.module.units.weight[:2])
    assert rates(cured, data) == (1, 0)
    assert not spoiled.module.units.weight.any()


def test_masks_and_changes_act_as_the_formula_says():
    model, data = planted(), clean(6)
    layers = shaken(model, data.images)
    shaking = _Shaking(subject=model, layers=layers)
    mask, change = (torch.rand(4, generator=stream(0, name)) for name in ("mask", "change"))
    offset = torch.tensor([0.1, -0.2, 0.3, 0])
    noise = {"module.units.weight": change, "module.units.bias": offset}
    found = shaking.loss({"module.units": mask}, noise, data.images, data.targets)
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.module.units.weight *= (mask + change)[:, None, None, None]
        other.module.units.bias *= 1 + offset
    torch.testing.assert_close(found, other.task.loss(other(data.images), data.targets).mean())
    plain = shaking.loss({"module.units": torch.ones(4)}, {}, data.images, data.targets)
    torch.testing.assert_close(plain, model.task.loss(model(data.images), data.targets).mean())


def test_without_normalisation_all_layers_but_the_head_are_shaken():
    assert list(shaken(net(), pictures((1, 1, 8, 8)))) == ["module.norm"]
    assert list(shaken(segnet(3), pictures((1, 1, 8, 8, 8)))) == ["module.conv"]
    deep = nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 3))
    found = shaken(Subject(deep, task="multiclass", classes=CLASSES, channels=1), pictures((1, 1, 4, 4)))
    assert list(found) == ["module.1", "module.3"]


@pytest.mark.parametrize("more", KINDS[:3], ids=NAMES[:3])
def test_unlearning_takes_the_backdoor_and_leaves_clean_decisions(more):
    model, data = planted(**more), clean(**of(more))
    cured = IBAU(rounds=20, lr=0.02, inner=4, radius=0.08, eta=0.01, batch_size=12).cure(model, data)
    right, led = rates(cured, data)
    assert right == 1
    assert led < 0.5


def test_the_worst_change_raises_the_loss_within_its_radius():
    model, data = planted(), clean()
    defence = IBAU(radius=0.08, inner=10, batch_size=24)
    found = defence.worst(model, data, seed=0, turn=0)
    assert found.shape == (1, 1, 16, 16)
    assert float(found.square().mean().sqrt()) <= 0.08 * (1 + 1e-5)

    @torch.no_grad()
    def loss(images):
        return float(model.task.loss(model(images.clamp(0, 1)), data.targets).mean())

    noise = torch.randn(found.shape, generator=stream(0, "noise"))
    assert loss(data.images + found) > 3 * loss(data.images + 0.08 * noise)
    assert not torch.equal(found, defence.worst(model, data, seed=0, turn=1))


@pytest.mark.parametrize("iterations", [0, 1, 4])
def test_the_implicit_gradient_is_that_of_the_series(iterations):
    """Against whole Hessians: e + eta M' v, where v is the sum of the powers of (1 + eta H) applied to the slope."""

    class Smooth(nn.Module):
        def __init__(self):
            super().__init__()
            rng = stream(0, "smooth")
            self.inner = nn.Parameter(torch.randn((3, 4), generator=rng))
            self.outer = nn.Parameter(torch.randn((3, 3), generator=rng))

        def forward(self, images):
            return torch.tanh(images.flatten(1) @ self.inner.T) @ self.outer.T

    model = Subject(Smooth().double(), task="multiclass", classes=CLASSES, channels=1)
    images = 0.3 + 0.3 * pictures((6, 1, 2, 2)).double()
    targets, delta = torch.arange(6) % 3, 0.02 * torch.randn((1, 1, 2, 2), generator=stream(0, "delta")).double()
    defence = IBAU(fixed_point=iterations, eta=0.3, perturbed=0.5)
    defence.implicit(model, images, targets, delta)
    found = torch.cat([value.grad.flatten() for value in model.parameters()])

    def loss(flat, share):
        inner, outer, change = flat[:12].reshape(3, 4), flat[12:21].reshape(3, 3), flat[21:].reshape(1, 1, 2, 2)
        shown = images + change * (torch.arange(6) < 6 * share)[:, None, None, None]
        logits = torch.tanh(shown.flatten(1) @ inner.T) @ outer.T
        return nn.functional.cross_entropy(logits, targets)

    at = torch.cat([*(value.detach().flatten() for value in model.parameters()), delta.flatten()]).requires_grad_()
    (slope,) = torch.autograd.grad(loss(at, 0.5), at)
    hessian = torch.autograd.functional.hessian(lambda flat: loss(flat, 1), at.detach())
    moving = term = slope[21:]
    for _ in range(iterations):
        term = term + 0.3 * hessian[21:, 21:] @ term
        moving = moving + term
    wanted = slope[:21] + (0.3 * hessian[:21, 21:] @ moving if iterations else 0)
    torch.testing.assert_close(found, wanted)


def test_fine_tuning_is_plain_training_and_leaves_what_sleeps():
    model, data = planted(), clean()
    with torch.no_grad():
        model.module.head.weight[1:] *= 0.2
    defence = FineTuning(epochs=3, lr=1e-3, augmented=False, batch_size=20)
    cured, plain = defence.cure(model, data, seed=4), copy.deepcopy(model)
    optimiser = torch.optim.SGD(plain.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4)
    order = torch.cat([torch.randperm(48, generator=stream(4, "course", turn)) for turn in range(3)])
    for rows in order[:140].split(20):
        optimiser.zero_grad()
        nn.functional.cross_entropy(plain(data.images[rows]), data.targets[rows]).backward()
        optimiser.step()
    torch.testing.assert_close(cured.state_dict(), plain.state_dict())
    assert rates(cured, data)[1] == 1


def test_batches_show_every_image_before_any_comes_again():
    model, data = planted(), clean(10)
    numbered = replace(data, items=tuple(replace(item, label=i % 3) for i, item in enumerate(data.items)))
    seen = [len(images) for images, _ in lessons(model, numbered, batch_size=4, seed=0, name="x", steps=5)]
    assert seen == [4, 4, 4, 4, 4]
    whole = torch.cat([images for images, _ in lessons(model, data, batch_size=5, seed=0, name="x", steps=4)])
    for part in whole.split(10):
        assert (part[:, None] == data.images[None]).flatten(2).all(2).sum(0).tolist() == [1] * 10


def quick(name):
    few = {"anp": {"steps": 3}, "i-bau": {"rounds": 1, "inner": 2}}.get(name, {"epochs": 1})
    return make_defence(name, batch_size=4, **few)


def some(model, dims):
    images = pictures((9, 1, *(8,) * dims))
    if model.task.name == "segmentation":
        masks = (images[:, 0] * 3).long().clamp(max=2)
        return memory_set("set", images, classes=model.task.classes, task="segmentation", masks=masks)
    targets = torch.arange(9) % 3
    if model.task.name == "multilabel":
        targets = nn.functional.one_hot(targets, 3).float()
        targets[2, 1] = math.nan
    return memory_set("set", images, targets, classes=model.task.classes, task=model.task.name)


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("task", ["multiclass", "multilabel", "segmentation"])
@pytest.mark.parametrize("name", DEFENCES.names())
def test_a_cure_returns_another_model_and_leaves_the_given_one(name, task, dims):
    model = segnet(dims) if task == "segmentation" else net(dims, task)
    model.train()
    next(model.parameters()).requires_grad_(requires_grad=False)
    data, before, state, told = some(model, dims), fingerprint(model), torch.get_rng_state(), []
    cured = quick(name).cure(model, data, seed=1, watch=lambda done, of: told.append((done, of)))
    assert fingerprint(model) == before
    assert torch.equal(torch.get_rng_state(), state)
    assert model.training
    assert not cured.training
    assert [own.requires_grad for own in cured.parameters()] == [own.requires_grad for own in model.parameters()]
    assert all(own.grad is None for each in (model, cured) for own in each.parameters())
    assert cured.task == model.task
    assert cured.spec == model.spec
    assert cured(data.images).isfinite().all()
    assert told
    assert told[-1][0] == told[-1][1]
    assert all(later[0] == earlier[0] + 1 for earlier, later in pairwise(told))
    again = quick(name).cure(model, data, seed=1)
    assert fingerprint(again) == fingerprint(cured)


@pytest.mark.parametrize("name", DEFENCES.names())
def test_nothing_is_carried_from_one_model_to_the_next(name):
    """A cure that has served another model gives the same weights as a new one: no cost or best value is left over."""
    used, data = quick(name), some(net(), 2)
    other = net(outputs=2)
    used.cure(
        other, replace(data, classes=("a", "b"), items=tuple(replace(one, label=one.label % 2) for one in data.items))
    )
    assert fingerprint(used.cure(net(), data, seed=1)) == fingerprint(quick(name).cure(net(), data, seed=1))


CHANGED = {
    "anp": {"steps": 9, "eps": 2.0, "alpha": 1.0, "lr": 0.9, "momentum": 0.0, "batch_size": 2},
    "fine-pruning": {"epochs": 2, "lr": 0.5, "momentum": 0.1, "weight_decay": 0.3, "batch_size": 2, "augmented": False},
    "fine-tuning": {"epochs": 2, "lr": 0.5, "momentum": 0.1, "weight_decay": 0.3, "batch_size": 2, "augmented": False},
    "i-bau": {"rounds": 3, "inner": 5, "radius": 0.3, "perturbed": 0.2, "fixed_point": 0, "eta": 3.0, "lr": 0.1,
              "batch_size": 2},
}  # fmt: skip
DECIDES = {"anp": {"threshold", "allowed"}, "fine-pruning": {"layer", "allowed"}}
"""What says which units are cut; tests of their own show that it does."""


@pytest.mark.parametrize("name", DEFENCES.names())
def test_every_setting_counts(name):
    """None is parsed and then forgotten; with all the others alike, another value gives other weights, or masks."""
    model, data, start = net(), some(net(), 2), quick(name)
    assert {field.name for field in fields(start)} == {*CHANGED[name], *DECIDES.get(name, ())}

    def learned(defence):
        if name != "anp":
            return list(fingerprint(defence.cure(model, data)).values())
        layers = shaken(model, data.images)
        masks, _ = defence.masks(copy.deepcopy(model), layers, data, seed=0, watch=lambda _, __: None)
        return masks["module.norm"].tolist()

    plain = learned(start)
    for setting, value in CHANGED[name].items():
        assert learned(replace(start, **{setting: value})) != plain, setting


def test_only_units_below_the_threshold_are_cut(monkeypatch):
    sunk = {"module.units": torch.tensor([0.9, 0.5, 0.1, 0.3])}, {"module.units": torch.tensor([0.9, 0.5, 0.1, 0.3])}
    monkeypatch.setattr(ANP, "masks", lambda *_, **__: sunk)
    model, data = planted(), clean()
    with torch.no_grad():
        model.module.units.weight[3] = 0.01
    for threshold, kept in ((0.05, [1, 1, 1, 1]), (0.2, [1, 1, 0, 1]), (0.4, [1, 1, 0, 0])):
        cured = ANP(threshold=threshold, allowed=1.0).cure(model, data)
        assert cured.module.units.weight.flatten(1).any(1).tolist() == kept


def test_the_pattern_is_what_the_unit_answers_to():
    """The net of this page does what it says: clean cells leave the planted unit silent, the pattern does not."""
    model, images = planted(), clean().images
    assert not model.module.units(images).relu()[:, PLANTED].any()
    assert (model.module.units(infected(images)).relu()[:, PLANTED].flatten(1).amax(1) > 4).all()
