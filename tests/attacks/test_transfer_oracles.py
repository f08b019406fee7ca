"""The momentum family against closed forms and against torchattacks, with the same random numbers on both sides."""

import math

import pytest
import torch
from nets import answers, linear, net, pictures
from torch.nn import functional as F

from aseptic.attacks import BIM, DIFGSM, MIFGSM, NIFGSM, SIFGSM, TIFGSM, VMIFGSM, Threat, run
from aseptic.core.rng import stream
from aseptic.ops.axes import gaussian
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

RADIUS = 0.03
THREAT = Threat(Avoid(), Ball("linf", RADIUS))
NORMS = pytest.mark.parametrize(("norm", "radius", "dual"), [("linf", 0.01, 1), ("l2", 0.1, 2), ("l1", 0.3, math.inf)])
SHAPES = pytest.mark.parametrize("shape", [(1, 6, 6), (3, 4, 4, 4)], ids=["2-D", "3-D"])
STRAIGHT = [MIFGSM(), NIFGSM(), SIFGSM(copies=2), VMIFGSM(neighbours=2), MIFGSM(decay=0)]


def colour(size=20, count=6):
    model, images = net(channels=3), pictures((count, 3, size, size))
    return model, images, answers(model, images).argmax(1)


@pytest.fixture
def theirs():
    return pytest.importorskip("torchattacks", reason="torchattacks is not installed")


def settings(**more):
    return {"eps": RADIUS, "alpha": RADIUS / 10, "steps": 10, "decay": 1.0, **more}


def replay(numbers):
    """Return a function that gives the next number, whatever it is asked."""
    left = iter(numbers)
    return lambda *_, **__: torch.tensor([next(left)])


@SHAPES
@NORMS
@pytest.mark.parametrize("attack", STRAIGHT, ids=lambda attack: f"{type(attack).__name__}-{attack.decay:g}")
def test_reaches_the_linear_optimum(shape, norm, radius, dual, attack):
    model, images = linear(shape), torch.full((2, *shape), 0.5)
    result = run(attack, model, images, torch.ones(2, dtype=torch.long), Threat(Avoid(), Ball(norm, radius)))
    drop = (answers(model, images) - result.logits)[:, 1]
    best = radius * float(torch.linalg.vector_norm(model.module.weight.detach().flatten(), dual))
    torch.testing.assert_close(drop, torch.full_like(drop, best), rtol=2e-3 if norm == "l1" else 1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(1, 9, 8), (2, 5, 4, 6)], ids=["2-D", "3-D"])
def test_ti_follows_the_smoothed_weights_of_a_linear_model(shape):
    """In 3-D the kernel acts along all three axes: one that is left out would give another pattern of signs."""
    model, images = linear(shape), torch.full((1, *shape), 0.5)
    weights = gaussian(5, 2.0).float()
    space = len(shape) - 1
    kernel = torch.einsum("i,j->ij", weights, weights) if space == 2 else torch.einsum("i,j,k->ijk", *[weights] * 3)
    each = kernel.expand(shape[0], 1, *kernel.shape)
    convolve = F.conv2d if space == 2 else F.conv3d
    smooth = convolve(model.module.weight.detach()[None], each, padding="same", groups=shape[0])
    threat = Threat(Avoid(), Ball("linf", 0.01))
    result = run(TIFGSM(kernel=5, spread=2), model, images, torch.ones(1, dtype=torch.long), threat)
    torch.testing.assert_close(result.images, images - 0.01 * smooth.sign(), rtol=0, atol=1e-6)
    assert (smooth.sign() != model.module.weight.detach().sign()).float().mean() > 0.1, "smoothing matters here"


@pytest.mark.parametrize("norm", ["linf", "l2", "l1"])
def test_without_decay_momentum_is_the_basic_method(norm):
    model, images, targets = colour(8)
    threat = Threat(Avoid(), Ball(norm, 0.1))
    bare, basic = MIFGSM(decay=0), BIM(steps=10, step=0.1, stop=False)
    found = [run(attack, model, images, targets, threat).images for attack in (bare, basic)]
    torch.testing.assert_close(found[0], found[1], rtol=0, atol=1e-5)


@pytest.mark.parametrize("name", ["MIFGSM", "NIFGSM", "SINIFGSM"])
def test_torchattacks_gives_the_same_images(theirs, name):
    model, images, targets = colour()
    ours = {"MIFGSM": MIFGSM(), "NIFGSM": NIFGSM(), "SINIFGSM": SIFGSM()}[name]
    expected = getattr(theirs, name)(model, **settings())(images, targets)
    found = run(ours, model, images, targets, THREAT).images
    assert ((found - expected).abs() < 1e-6).float().mean() > 0.999, "but for gradients that are zero to rounding"


def test_torchattacks_smooths_the_same(theirs):
    model, images, targets = colour()
    expected = theirs.TIFGSM(model, **settings(diversity_prob=0.0))(images, targets)
    found = run(TIFGSM(), model, images, targets, THREAT).images
    assert ((found - expected).abs() < 1e-6).float().mean() > 0.999


def test_torchattacks_tunes_the_variance_the_same(theirs, monkeypatch):
    model, images, targets = colour()
    found = run(VMIFGSM(neighbours=3), model, images, targets, THREAT).images
    without = run(MIFGSM(), model, images, targets, THREAT).images
    streams, around = [stream(0, "attack", str(row)) for row in range(len(images))], Ball("linf", 1.5 * RADIUS)

    def drawn(self, low, high):
        assert (low, high) == pytest.approx((-around.radius, around.radius))
        return torch.cat([around.sample(self[row : row + 1], own) for row, own in enumerate(streams)])

    monkeypatch.setattr(torch.Tensor, "uniform_", drawn)
    expected = theirs.VMIFGSM(model, **settings(N=3, beta=1.5))(images, targets)
    assert ((found - expected).abs() < 1e-6).float().mean() > 0.999
    assert ((found - without).abs() < 1e-6).float().mean() < 0.98, "the correction matters here"


def test_torchattacks_diversifies_the_same(theirs, monkeypatch):
    """They shrink inside the image, with one draw for a batch: one image at a time, and our draws in their order."""
    model, images, targets = colour(count=3)
    found = run(DIFGSM(rate=0.9), model, images, targets, THREAT).images
    unchanged = run(MIFGSM(), model, images, targets, THREAT).images
    for row in range(len(images)):
        own, whole, shares = stream(0, "attack", str(row)), [], []
        for _ in range(10):
            use, size, *places = torch.rand(4, generator=own, dtype=torch.float64).tolist()
            inside = 18 + int(size * 2)
            whole += [inside, *(int(place * (21 - inside)) for place in places)]
            shares.append(use)
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randint", replay(whole))
            patch.setattr(torch, "rand", replay(shares))
            attack = theirs.DIFGSM(model, **settings(resize_rate=0.9))
            expected = attack(images[row : row + 1], targets[row : row + 1])
        assert ((found[row] - expected[0]).abs() < 1e-6).float().mean() > 0.999
    assert ((found - unchanged).abs() < 1e-6).float().mean() < 0.98, "the change matters here"
