"""The patch on one image: the linear model's best place and best content, in closed form."""

import itertools
import math

import pytest
import torch
from nets import answers, linear, net, pictures
from victims import blobs, train_victim

from aseptic.attacks import PGD, Patch, Threat, run
from aseptic.attacks.patch import best_apart
from aseptic.core.errors import ContractError, InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.ops.windows import Window, window_sums
from aseptic.tasks.multiclass import Avoid, MultiClass
from aseptic.tasks.multilabel import FlipAll

SHAPES = pytest.mark.parametrize("shape", [(1, 8, 6), (2, 4, 6, 5)], ids=["2-D", "3-D"])


def distant(shape):
    """Return the linear model with its boundary out of reach, so that a search goes on to the end."""
    task = MultiClass(classes=("no", "yes"), offsets=(100.0, 0.0))
    return Subject(linear(shape).module, task=task, channels=shape[0])


def gains(weight, images, window):
    """Return what a linear model loses at most in every window, each value going to 0 or to 1, place by place."""
    best = (weight.clamp(min=0) * images + weight.neg().clamp(min=0) * (1 - images)).sum(1)
    sides = window.sides(images.shape[2:])
    places = itertools.product(*(range(n - s + 1) for n, s in zip(images.shape[2:], sides, strict=True)))
    boxes = [tuple(slice(c, c + s) for c, s in zip(corner, sides, strict=True)) for corner in places]
    return torch.stack([best[(slice(None), *box)].flatten(1).sum(1) for box in boxes], 1), boxes


@SHAPES
@pytest.mark.parametrize("share", [0.07, 0.3])
def test_finds_the_best_place_and_fills_it_in_the_best_way(shape, share):
    model, images, window = distant(shape), pictures((4, *shape)), Window(share)
    weight = model.module.weight.detach()
    result = run(
        Patch(steps=20, loss="margin"), model, images, torch.ones(4, dtype=torch.long), Threat(Avoid(), window)
    )
    gained, boxes = gains(weight, images, window)
    drop = (answers(model, images) - result.logits)[:, 1]
    torch.testing.assert_close(drop, gained.amax(1), rtol=1e-4, atol=1e-4)
    for row, place in enumerate(gained.argmax(1).tolist()):
        expected = images[row].clone()
        inside = (slice(None), *boxes[place])
        expected[inside] = (weight[inside] < 0).float()
        torch.testing.assert_close(result.images[row], expected)


@SHAPES
def test_the_centre_is_the_centre_and_random_places_are_everywhere(shape):
    model, images, window = distant(shape), torch.full((500, *shape), 0.5), Window(0.1)
    targets, threat = torch.ones(500, dtype=torch.long), Threat(Avoid(), window)
    sides = window.sides(shape[1:])
    middle = run(Patch(steps=2, place="centre", loss="margin"), model, images, targets, threat).images != 0.5
    box = (..., *(slice((n - s) // 2, (n - s) // 2 + s) for n, s in zip(shape[1:], sides, strict=True)))
    assert middle[box].all()
    assert middle.sum() == 500 * shape[0] * math.prod(sides)
    anywhere = run(Patch(steps=2, place="random", loss="margin"), model, images, targets, threat)
    assert (anywhere.images != 0.5).any(0).all()
    torch.testing.assert_close(anywhere.distance, middle_share(sides, shape, 500))
    alone = run(Patch(steps=2, place="random", loss="margin"), model, images[7:8], targets[:1], threat, ids=["7"])
    assert torch.equal(alone.images[0], anywhere.images[7]), "a place does not depend on the neighbours"


def middle_share(sides, shape, n):
    fraction = max(side / length for side, length in zip(sides, shape[1:], strict=True))
    return torch.full((n,), fraction ** len(sides))


def test_nothing_outside_the_window_changes_by_a_single_bit():
    model, images = net(), pictures((16, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    result = run(Patch(steps=30), model, images, targets, Threat(Avoid(), Window(0.25)))
    changed = (result.images != images)[:, 0]
    assert changed.flatten(1).any(1).all()
    assert (changed.any(1).sum(1) <= 4).all()
    assert (changed.any(2).sum(1) <= 4).all()
    assert result.distance.max() <= 0.25
    assert (result.images - images).abs().max() > 0.3, "inside, anything goes"


def test_a_value_outside_the_window_breaks_the_contract():
    class Smudge(Patch):
        def perturb(self, model, batch):
            found = super().perturb(model, batch)
            found[0, 0, 0, 0] = (found[0, 0, 0, 0] + 1e-6).clamp(max=1)
            found[0, 0, -1, -1] = 0.123
            return found

    model, images = net(), pictures((2, 1, 8, 8))
    with pytest.raises(ContractError, match=r"Smudge must stay within window 0\.25, image '0' is at 1"):
        run(Smudge(steps=2, place="centre"), model, images, torch.tensor([0, 1]), Threat(Avoid(), Window(0.25)))


def test_the_best_place_beats_the_centre_and_more_places_beat_one():
    """On a network that has learned something; the share that falls, over images that it knows."""
    model = train_victim().model
    images, kinds = blobs(80, seed=3)
    known = answers(model, images).argmax(1) == kinds
    images, kinds, threat = images[known][:60], kinds[known][:60], Threat(Avoid(), Window(0.07))
    fell = {}
    for name, attack in {
        "centre": Patch(steps=20, place="centre"),
        "random": Patch(steps=20, place="random"),
        "best": Patch(steps=20),
        "three": Patch(steps=20, places=3),
    }.items():
        fell[name] = run(attack, model, images, kinds, threat).success
    assert (fell["three"] >= fell["best"]).all(), "the first place is the same"
    assert fell["random"].sum() + 5 < fell["best"].sum() < fell["three"].sum()
    assert fell["centre"].sum() < fell["three"].sum()


def test_fallen_images_cost_nothing_more():
    model, images = net(), pictures((6, 1, 8, 8))
    wrong = (answers(model, images).argmax(1) + 1) % 3
    result = run(Patch(steps=9), model, images, wrong, Threat(Avoid(), Window(0.2)))
    assert torch.equal(result.images, images)
    assert (result.cost.forwards, result.cost.backwards) == (12, 12), "for the place, and for the first look"
    hard = run(Patch(steps=9, places=2), distant((1, 8, 8)), images, wrong * 0 + 1, Threat(Avoid(), Window(0.2)))
    assert (hard.cost.forwards, hard.cost.backwards) == (6 * (1 + 2 * 10), 6 * (1 + 2 * 9))


def test_findings_are_flipped_too():
    model, images = net(task="multilabel"), pictures((3, 1, 8, 8))
    targets = (answers(model, images) > 0).float()
    targets[:, 1] = torch.nan
    result = run(Patch(places=4), model, images, targets, Threat(FlipAll(), Window(0.6)))
    assert result.success.all()


@pytest.mark.parametrize(("space", "sides"), [((9, 7), (3, 2)), ((5, 6, 4), (2, 3, 2))], ids=["2-D", "3-D"])
def test_places_do_not_overlap_and_come_in_order(space, sides):
    sums = window_sums(torch.rand(4, 1, *space, generator=stream(0)), sides)
    corners = best_apart(sums, sides, 3)
    heights = torch.stack([sums[(torch.arange(4), *corner.T)] for corner in corners.unbind(1)], 1)
    assert torch.equal(heights[:, 0], sums.flatten(1).amax(1))
    assert (heights.diff(dim=1) <= 0).all()
    for one, other in itertools.combinations(corners.unbind(1), 2):
        assert ((one - other).abs() >= torch.tensor(sides)).any(1).all()
    full = best_apart(window_sums(torch.rand(1, 1, 3, 3, generator=stream(0)), (2, 2)), (2, 2), 2)
    assert torch.equal(full[0, 0], full[0, 1]), "where no second one fits, the first again"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        ({"step": 0}, r"step must lie in \(0, 1\], in image units, got 0"),
        ({"step": math.nan}, r"step must lie in \(0, 1\], in image units, got nan"),
        ({"place": "corner"}, "place must be one of best, centre, random; got 'corner'"),
        ({"loss": "logits"}, "loss must be one of objective, margin; got 'logits'"),
        ({"places": 0}, "places must be at least 1, and 1 for the centre, got 0"),
        ({"places": 2, "place": "centre"}, "places must be at least 1, and 1 for the centre, got 2"),
    ],
)
def test_refuses_settings_without_meaning(options, message):
    with pytest.raises(InputError, match=message):
        Patch(**options)


def test_refuses_windows_without_a_value_and_balls():
    model, images, targets = net(), pictures((1, 1, 8, 8)), torch.tensor([0])
    with pytest.raises(InputError, match=r"the window must hold a value, 0.01 of images of \[8, 8\] does not"):
        run(Patch(), model, images, targets, Threat(Avoid(), Window(0.01)))
    with pytest.raises(InputError, match="Patch searches budgets in window, got linf"):
        run(Patch(), model, images, targets, Threat(Avoid(), Ball("linf", 0.1)))
    with pytest.raises(
        InputError, match=r"PGD searches budgets in linf, l2, l1, got window; attacks that can: .*patch"
    ):
        run(PGD(), model, images, targets, Threat(Avoid(), Window(0.1)))
