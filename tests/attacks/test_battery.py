"""Batteries that are killed and resumed, what they store, and what they make of their stages."""

from dataclasses import replace

import pytest
import torch
from nets import net

from aseptic.attacks import APGDCE, FABT, AutoAttack, Threat, run
from aseptic.attacks.battery import plan, run_battery
from aseptic.core.errors import InputError
from aseptic.core.rng import derive
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

STAGES = AutoAttack(steps=6, queries=50).attacks()
THREAT = Threat(Avoid(), Ball("linf", 0.04))


def battery(victim, folder=None, **changes):
    asked = {"threat": THREAT, "seed": 3, "count": 20, "attacks": STAGES} | changes
    part = victim.images[: asked["count"]], victim.targets[: asked["count"]]
    return run_battery(asked["attacks"], victim.model, *part, asked["threat"], seed=asked["seed"], folder=folder)


def assert_same(first, second):
    for part in ("images", "success", "margin", "logits", "distance", "eligible"):
        assert torch.equal(getattr(first.result, part), getattr(second.result, part)), part
    torch.testing.assert_close(first.result.queries, second.result.queries, rtol=0, atol=0, equal_nan=True)
    assert first.by == second.by
    assert first.doubts == second.doubts
    assert first.result.cost.forwards == second.result.cost.forwards
    assert first.result.cost.backwards == second.result.cost.backwards


def test_a_killed_battery_goes_on_where_it_was(victim, tmp_path, monkeypatch):
    whole = battery(victim)
    assert [stage.name for stage in whole.stages] == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert 0 < whole.result.success.sum() < 20

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FABT, "perturb", killed)
        with pytest.raises(KeyboardInterrupt):
            battery(victim, tmp_path)
    assert sorted(path.name[:7] for path in tmp_path.iterdir()) == ["apgd-ce", "apgd-t-"], "two stages were finished"
    with monkeypatch.context() as patch:
        patch.setattr(APGDCE, "perturb", killed)  # what is stored is not computed again
        resumed = battery(victim, tmp_path)
    assert [stage.stored for stage in resumed.stages] == [True, True, False, False]
    assert_same(resumed, whole)
    again = battery(victim, tmp_path)
    assert all(stage.stored for stage in again.stages)
    assert_same(again, whole)


@pytest.mark.parametrize(
    "changes",
    [
        {"seed": 4},
        {"threat": replace(THREAT, budget=Ball("linf", 0.05))},
        {"count": 19},
        {"attacks": AutoAttack(steps=7, queries=50).attacks()},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_what_was_asked_differently_is_computed(changes, victim, tmp_path):
    battery(victim, tmp_path)
    first = battery(victim, tmp_path, **changes).stages[0]
    assert (first.name, first.stored) == ("apgd-ce", False)


def test_other_weights_are_another_question(victim, tmp_path):
    battery(victim, tmp_path)
    bias = next(value for name, value in victim.model.named_parameters() if name.endswith("bias"))
    kept = bias.detach().clone()
    try:
        bias.data += 1e-6
        assert not battery(victim, tmp_path).stages[0].stored
    finally:
        bias.data.copy_(kept)
    assert battery(victim, tmp_path).stages[0].stored


def test_a_damaged_file_is_named(victim, tmp_path):
    battery(victim, tmp_path)
    path = next(tmp_path.glob("apgd-ce-*"))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(InputError, match=r"apgd-ce-.* must be a stored stage, but cannot be read .* remove it"):
        battery(victim, tmp_path)


def test_keeps_the_worst_case_of_each_image(victim):
    whole = battery(victim)
    images, targets = victim.images[:20], victim.targets[:20]
    first = run(STAGES["apgd-ce"], victim.model, images, targets, THREAT, seed=derive(3, "stage", "apgd-ce"))
    fell = first.success
    assert [name == "apgd-ce" for name in whole.by] == fell.tolist()
    assert torch.equal(whole.result.images[fell], first.images[fell])
    assert (whole.result.margin >= first.margin).all()
    assert (whole.result.margin[~fell] > first.margin[~fell]).any(), "a later stage came closer"
    standing = len(images)
    for stage in whole.stages:
        assert stage.attacked == standing
        standing -= stage.broken
    assert standing == int((~whole.result.success).sum())
    forwards = sum(stage.cost.forwards for stage in whole.stages)
    assert whole.result.cost.forwards == forwards + 2 * 20, "and two looks at each image"
    asked = [name == "square" or name is None for name in whole.by]
    assert (~whole.result.queries.isnan()).tolist() == asked


def test_no_images_and_no_stage(victim):
    empty = run_battery(STAGES, victim.model, victim.images[:0], victim.targets[:0], THREAT)
    assert (empty.stages, empty.by, empty.doubts) == ((), (), ())
    assert empty.result.images.shape == (0, 1, 10, 10)
    with pytest.raises(InputError, match=r"attack must be one of .*; got ''"):
        plan("")


def test_options_go_to_the_stages_that_have_them():
    made = plan("fgsm, fab-t,square", steps=7, queries=11, stop=True)
    assert (made["fab-t"].steps, made["fab-t"].stop, made["square"].queries) == (7, True, 11)
    assert list(made) == ["fgsm", "fab-t", "square"]


def test_volumes(tmp_path):
    model, images = net(3), torch.rand((4, 1, 4, 6, 5), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        targets = model(images).argmax(1)
    threat = Threat(Avoid(), Ball("l2", 0.5))
    first, again = (run_battery(STAGES, model, images, targets, threat, folder=tmp_path) for _ in range(2))
    assert first.result.success.any()
    assert_same(first, again)
