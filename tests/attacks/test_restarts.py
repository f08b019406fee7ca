"""Several random starts of PGD: all in one batch, the best kept, and never worse than fewer."""

from itertools import pairwise

import pytest
import torch
from nets import answers, batch_of, net, pictures

from aseptic.attacks import PGD, Threat, run
from aseptic.attacks.base import Counted
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.ops.balls import Ball, random_start
from aseptic.tasks.multiclass import Avoid

THREAT = Threat(Avoid(), Ball("linf", 0.02))


def case(count=24, space=2):
    model, images = net(space), pictures((count, 1, *(8,) * space))
    return model, images, answers(model, images).argmax(1)


@pytest.mark.parametrize("space", [2, 3])
@pytest.mark.parametrize("options", [{}, {"stop": False}, {"confidence": 0.1}], ids=repr)
def test_more_restarts_never_lose(options, space):
    model, images, targets = case(16, space)
    found = [run(PGD(steps=4, restarts=count, **options), model, images, targets, THREAT) for count in (1, 2, 5)]
    assert 0 < found[0].success.sum() < len(images), "the case must contain both outcomes"
    for fewer, more in pairwise(found):
        assert (more.success >= fewer.success).all()
        assert (more.margin.clamp(max=0) >= fewer.margin.clamp(max=0) - 1e-5).all()
    assert found[-1].margin.clamp(max=0).sum() > found[0].margin.clamp(max=0).sum(), "and they gain something"


def test_the_best_restart_is_kept():
    """Each restart is run by itself from the same start, which the image's stream gives one after the other."""
    model, images, targets = case(6)
    rng = [stream(0, "attack", row) for row in range(6)]
    starts = [random_start(THREAT.budget, images, rng) for _ in range(3)]
    alone = PGD(steps=4, stop=False)
    each = [run(alone, model, images, targets, THREAT, start=start) for start in starts]
    together = run(PGD(steps=4, restarts=3, stop=False), model, images, targets, THREAT)
    margins = torch.stack([one.margin for one in each])
    assert len(set(margins.argmax(0).tolist())) > 1, "the case must have different winners"
    torch.testing.assert_close(together.margin, margins.amax(0), rtol=0, atol=1e-5)
    best = torch.stack([one.images for one in each])[margins.argmax(0), torch.arange(6)]
    torch.testing.assert_close(together.images, best, rtol=0, atol=1e-5)


def test_an_image_leaves_with_all_its_restarts():
    model, images, targets = case(8)
    sizes = []
    model.module.register_forward_hook(lambda _, args, __: sizes.append(len(args[0])))
    run(PGD(steps=6, restarts=3), model, images, targets, Threat(Avoid(), Ball("linf", 0.03)))
    steps, judged, measured = sizes[:6], sizes[6], sizes[7]
    assert steps[0] == 24
    assert all(size % 3 == 0 for size in steps)
    assert steps == sorted(steps, reverse=True)
    assert 0 < steps[-1] < 24, "some fall and some stay"
    assert judged <= steps[-1], "the last iterates of those that are left are judged once"
    assert measured == 8


def test_restarts_do_not_depend_on_the_batch():
    model, images, targets = case(10)
    attack = PGD(steps=4, restarts=3)
    whole, parts = (run(attack, model, images, targets, THREAT, batch_size=size) for size in (10, 3))
    torch.testing.assert_close(whole.images, parts.images, rtol=0, atol=1e-5)


def test_looking_less_often_changes_nothing(monkeypatch):
    model, images, targets = case()
    often = run(PGD(restarts=3), model, images, targets, THREAT)
    monkeypatch.setattr("aseptic.attacks.climbing.LOOK_EVERY", {"cpu": 4})
    rarely = run(PGD(restarts=3), model, images, targets, THREAT)
    torch.testing.assert_close(often.images, rarely.images, rtol=0, atol=1e-5)
    assert often.cost.forwards < rarely.cost.forwards


def test_a_given_start_takes_the_place_of_the_first():
    model, images, targets = case(4)
    seen = []
    model.module.register_forward_hook(lambda _, args, __: seen.append(args[0].detach().clone()))
    begin = (images + 0.01).clamp(0, 1)
    attack = PGD(steps=1, restarts=2, stop=False)
    attack.perturb(Counted(model), batch_of(images, targets, THREAT, start=begin))
    assert torch.equal(seen[0][:4], begin)
    drawn = random_start(THREAT.budget, images, [stream(0, row) for row in range(4)])
    assert torch.equal(seen[0][4:], drawn)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        (
            {"restarts": 3, "random_start": False},
            r"restarts must be 1 without random_start \(all would be alike\), got 3",
        ),
    ],
)
def test_refuses_restarts_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        PGD(**options)
