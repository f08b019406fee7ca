"""What makes each method of the momentum family what it is, and what peers get wrong."""

import math

import pytest
import torch
from nets import answers, batch_of, linear, net, pictures

from aseptic.attacks import DIFGSM, MIFGSM, NIFGSM, SIA, SIFGSM, TIFGSM, VMIFGSM, Threat, run
from aseptic.attacks.base import Counted
from aseptic.attacks.changes import blockwise, changes, draw_frames
from aseptic.attacks.momentum import Walk, unit_mean
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.models.subject import Subject
from aseptic.ops.axes import along
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

THREAT = Threat(Avoid(), Ball("linf", 0.03))
FAMILY = [MIFGSM(), NIFGSM(), DIFGSM(), TIFGSM(kernel=3), SIFGSM(), VMIFGSM(neighbours=2), SIA(copies=2)]
EACH = pytest.mark.parametrize("attack", FAMILY, ids=lambda attack: type(attack).__name__)


class Straight(Avoid):
    """The margin is climbed itself, so that a linear model's gradient is the same everywhere."""

    def objective(self, task, logits, targets):
        return self.margin(task, logits, targets)


def streams(count):
    return [stream(7, row) for row in range(count)]


@EACH
@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_a_flat_model_leaves_the_images_alone(attack, norm):
    """Elsewhere the gradient is divided by its size without a guard: zero becomes NaN, and so does the momentum."""
    flat = net()
    flat.module.head.weight.data.zero_()
    images = pictures((2, 1, 8, 8))
    result = run(attack, flat, images, torch.zeros(2, dtype=torch.long), Threat(Avoid(), Ball(norm, 0.1)))
    assert torch.equal(result.images, images)


@EACH
def test_neighbours_in_the_batch_do_not_matter(attack):
    model, images = net(3), pictures((3, 1, 6, 5, 4))
    targets = answers(model, images).argmax(1)
    whole, parts = (run(attack, model, images, targets, THREAT, batch_size=size) for size in (3, 2))
    assert ((whole.images - parts.images).abs() < 1e-5).float().mean() > 0.99
    shuffled = run(attack, model, images.flip(0), targets.flip(0), THREAT, ids=["2", "1", "0"])
    assert ((whole.images - shuffled.images.flip(0)).abs() < 1e-5).float().mean() > 0.99


@EACH
def test_every_step_is_taken(attack):
    """An image that already fools the surrogate is not left at its first success: it is to fool another model."""
    model, images = net(), pictures((4, 1, 8, 8))
    wrong = (answers(model, images).argmax(1) + 1) % 3
    result = run(attack, model, images, wrong, THREAT)
    assert (result.distance > 0.9 * 0.03).all()


@EACH
def test_begins_where_it_is_told(attack):
    model, images = net(), pictures((2, 1, 8, 8))
    targets, begin = answers(model, images).argmax(1), (images + 0.03).clamp(0, 1)
    fed = []
    model.module.register_forward_hook(lambda _, args, __: fed.append(args[0].detach().clone()))
    run(attack, model, images, targets, THREAT, start=begin)
    if isinstance(attack, (DIFGSM, SIA)):
        assert not torch.equal(fed[0], begin), "it sees a change of it"
    else:
        torch.testing.assert_close(fed[0], begin, rtol=0, atol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 5, 6), (3, 2, 5, 6, 7)], ids=["2-D", "3-D"])
def test_gradients_are_divided_by_their_mean_over_the_whole_image(shape):
    """A mean over three axes only, as elsewhere, would weigh the slices of a volume alike."""
    gradient = torch.randn(shape, generator=stream(0)) * torch.arange(1, shape[-1] + 1) ** 2
    unit = unit_mean(gradient)
    torch.testing.assert_close(unit.flatten(1).abs().mean(1), torch.ones(3))
    ratio = unit / gradient
    torch.testing.assert_close(
        ratio, ratio[:, :1, :1].flatten(2)[..., :1].reshape(3, *(1,) * (len(shape) - 1)).expand(shape)
    )


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_ni_looks_where_the_momentum_leads(norm):
    images, budget = torch.full((2, 1, 4, 5), 0.5), Ball(norm, 0.2)
    walk = Walk(
        model=Counted(net()),
        batch=batch_of(images, torch.zeros(2, dtype=torch.long), Threat(Avoid(), budget)),
        found=images,
        left=1,
    )
    walk.momentum = unit_mean(torch.randn(images.shape, generator=stream(0)))
    moved = walk.ahead(0.1) - images
    whole = {"linf": 1, "l2": math.sqrt(20), "l1": 20}[norm]
    torch.testing.assert_close(moved, 0.1 * 0.2 / whole * walk.momentum, rtol=1e-5, atol=1e-7)


def test_si_sees_halves_of_the_image():
    model, images = net(), pictures((2, 1, 8, 8))
    fed = []
    model.module.register_forward_hook(lambda _, args, __: fed.append(args[0].detach().clone()))
    run(SIFGSM(steps=1), model, images, torch.zeros(2, dtype=torch.long), THREAT)
    for power, seen in enumerate(fed[:5]):
        torch.testing.assert_close(seen, images / 2**power)
    assert len(fed) == 6, "five copies, then one pass to measure"


def test_si_looks_ahead_unless_told_otherwise():
    model, images = net(), pictures((4, 1, 8, 8))
    targets = answers(model, images).argmax(1)
    one = [run(kind, model, images, targets, THREAT).images for kind in (SIFGSM(copies=1), NIFGSM())]
    assert torch.equal(*one)
    still = [
        run(kind, model, images, targets, THREAT).images for kind in (SIFGSM(copies=1, look_ahead=False), MIFGSM())
    ]
    assert torch.equal(*still)
    assert not torch.equal(one[0], still[0])


def test_variance_is_zero_where_the_gradient_does_not_change():
    model, images = linear((1, 5, 5)), pictures((2, 1, 5, 5))
    threat, seen = Threat(Straight(), Ball("linf", 0.1)), []

    class Seen(VMIFGSM):
        def uphill(self, walk):
            found = super().uphill(walk)
            seen.append(walk.variance)
            return found

    run(Seen(steps=3, neighbours=4), model, images, torch.ones(2, dtype=torch.long), threat)
    assert all(one.abs().max() < 1e-5 for one in seen)
    seen.clear()
    curved = net()
    run(Seen(steps=3, neighbours=4), curved, images, torch.zeros(2, dtype=torch.long), threat)
    assert seen[0].abs().max() > 1e-3, "elsewhere it is not"


def test_vmi_spends_nothing_on_neighbours_after_the_last_step():
    model, images = net(), pictures((2, 1, 8, 8))
    cost = run(VMIFGSM(steps=4, neighbours=5), model, images, torch.zeros(2, dtype=torch.long), THREAT).cost
    assert cost.backwards == 2 * (4 + 3 * 5)


@pytest.mark.parametrize(
    ("attack", "copies"), [(SIA(steps=2, copies=3), 3), (SIFGSM(steps=2), 5), (DIFGSM(steps=2), 1)]
)
def test_each_copy_is_one_pass(attack, copies):
    model, images = net(), pictures((2, 1, 8, 8))
    cost = run(attack, model, images, torch.zeros(2, dtype=torch.long), THREAT).cost
    assert cost.forwards == cost.backwards == 2 * 2 * copies


@pytest.mark.parametrize("space", [(20, 31), (4, 9, 12)], ids=["2-D", "3-D"])
@pytest.mark.parametrize("rate", [1.3, 0.6])
def test_di_keeps_the_shape_and_the_content_inside_the_frame(space, rate):
    maps = draw_frames(space, streams(40), rate, 1.0)
    ones = torch.ones(40, 2, *space)
    seen = along(ones, maps)
    assert seen.shape == ones.shape
    assert ((seen > -1e-6) & (seen < 1 + 1e-6)).all()
    shares = seen.flatten(1).mean(1)
    least = min(rate, 1 / rate) ** len(space)
    assert (shares > 0.75 * least).all()
    assert len({round(float(share), 4) for share in shares}) > 5, "each image has its own draw"


def test_di_changes_as_often_as_told():
    maps = draw_frames((10, 10), streams(400), 1.5, 0.3)
    same = [all(torch.equal(one[row], torch.eye(10).double()) for one in maps) for row in range(400)]
    assert 0.62 < sum(same) / 400 < 0.78


def test_di_reaches_both_ends_of_the_frame():
    """Elsewhere the last place is never drawn."""
    (maps,) = draw_frames((8,), streams(300), 1.5, 1.0)
    filled = maps.sum(2)
    assert (filled[:, 0] > 0.99).any()
    assert (filled[:, -1] > 0.99).any()


def test_sia_has_ten_changes_of_images_and_fourteen_of_volumes():
    assert [len(changes(space, 0.1)) for space in (2, 3)] == [10, 14]


@pytest.mark.parametrize("space", [(9, 7), (6, 5, 7)], ids=["2-D", "3-D"])
def test_each_change_of_a_block_keeps_its_shape_and_its_gradient(space):
    block = pictures((1, 2, *space))[0]
    outcomes = []
    for change in changes(len(space), 0.05):
        leaf = block.clone().requires_grad_()
        changed = change(leaf, stream(3, "change"))
        assert changed.shape == block.shape
        (gradient,) = torch.autograd.grad(changed.sum(), leaf)
        assert (gradient != 0).float().mean() > 0.8, "the attack sees through it"
        assert not torch.equal(changed, block)
        outcomes.append(changed.detach())
    assert all(not torch.equal(one, other) for place, one in enumerate(outcomes) for other in outcomes[:place])


@pytest.mark.parametrize("length", [1, 2])
def test_small_blocks_do_not_vanish(length):
    """Elsewhere a low-pass of fewer than three values sets them all to zero, by a slice of length minus zero."""
    block = torch.full((1, length, length), 0.7)
    means = [float(change(block, stream(0, "small", row)).mean()) for row, change in enumerate(changes(2, 0.0))]
    assert sum(mean == pytest.approx(0.7, abs=1e-5) for mean in means) >= 8, "all but scaling and dropout keep the mean"


@pytest.mark.parametrize("space", [(9, 7), (6, 5, 7), (1, 9, 2)], ids=["2-D", "3-D", "thin"])
def test_sia_changes_every_image_by_itself(space):
    image = pictures((1, 1, *space))
    images = image.repeat(4, *(1,) * (image.ndim - 1))
    changed = blockwise(images, streams(4), 3, 0.05)
    assert changed.shape == images.shape
    assert not torch.equal(changed[0], changed[1]), "each has its own draws"
    alone = blockwise(images[2:3], streams(4)[2:3], 3, 0.05)
    assert torch.equal(changed[2:3], alone)


def test_blocks_stay_in_their_places(monkeypatch):
    """With one possible change, a block is changed as a whole, and the parts meet without gaps."""
    monkeypatch.setattr("aseptic.attacks.changes.changes", lambda *_: [lambda block, _: block * 0 + block.mean()])
    image = pictures((1, 1, 12, 10))
    changed = blockwise(image, streams(1), 3, 0.0)
    assert len(changed.unique()) == 9
    torch.testing.assert_close(changed.mean(), image.mean())
    rows = (changed[0, 0].diff(dim=0) != 0).any(1)
    columns = (changed[0, 0].diff(dim=1) != 0).any(0)
    assert (int(rows.sum()), int(columns.sum())) == (2, 2)


@pytest.mark.parametrize(
    ("kind", "options", "message"),
    [
        (MIFGSM, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (MIFGSM, {"step": math.inf}, "step must be a positive fraction of the radius, got inf"),
        (NIFGSM, {"decay": -1}, "decay must be a number of at least 0, got -1"),
        (DIFGSM, {"steps": 0}, "steps must be a whole number of at least 1, got 0"),
        (DIFGSM, {"rate": 1}, "rate must be a positive number other than 1, got 1"),
        (DIFGSM, {"probability": 0}, r"probability must lie in \(0, 1\], got 0"),
        (TIFGSM, {"kernel": 4}, "kernel must be an odd number of pixels, got 4"),
        (TIFGSM, {"spread": 0}, "spread must be a positive number of standard deviations, got 0"),
        (SIFGSM, {"copies": 0}, "copies must be a whole number of at least 1, got 0"),
        (VMIFGSM, {"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
        (VMIFGSM, {"reach": -1}, "reach must be a positive fraction of the radius, got -1"),
        (SIA, {"copies": 0}, "copies must be a whole number of at least 1, got 0"),
        (SIA, {"blocks": 0}, "blocks must be a whole number of at least 1, got 0"),
        (SIA, {"noise": -0.1}, "noise must be a number of at least 0, got -0.1"),
    ],
)
def test_refuses_settings_without_meaning(kind, options, message):
    with pytest.raises(InputError, match=message):
        kind(**options)


def test_operating_point_is_climbed():
    """The offsets of the task move the boundary, and with it what a step follows; a network alone does not know."""
    bare, images = net(), pictures((4, 1, 8, 8))
    shifted = Subject(
        bare.module, task=type(bare.task)(classes=bare.task.classes, offsets=(0.0, 3.0, -3.0)), channels=1
    )
    targets = torch.zeros(4, dtype=torch.long)
    found = [run(MIFGSM(), one, images, targets, THREAT).images for one in (bare, shifted)]
    assert not torch.equal(*found)
