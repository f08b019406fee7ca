"""Peak memory against that of one forward and one backward pass on the batch, with a network of the usual size."""

import pytest
import torch
import torchvision
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from aseptic.attacks import APGDCE, APGDT, BIM, DDN, FABT, FMN, MIFGSM, PGD, CWLinf, Square, Threat
from aseptic.attacks.base import Batch, Counted
from aseptic.core.rng import stream
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

MOST = 1.1
ATTACKS = [
    (PGD(steps=3), 1e-5),  # so near that nothing falls, and the batch stays whole
    (PGD(steps=3, stop=False), 1e-5),
    (PGD(steps=3), 0.1),  # so far that everything falls
    (BIM(steps=3), 1e-5),
    (CWLinf(steps=3), 1e-5),
    (MIFGSM(steps=3), 1e-5),
    (APGDCE(steps=4), 1e-5),
    (APGDCE(steps=4), 0.1),
    (APGDT(steps=4), 1e-5),
    (FABT(steps=3), 1e-5),
    (DDN(steps=3), 1e-5),
    (FMN(steps=3), 1e-5),
    (Square(queries=20), 1e-5),
]


@pytest.fixture(scope="module")
def case():
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        module = torchvision.models.resnet18(num_classes=5)
    model = Subject(module, task="multiclass", classes=list("abcde"), mean=0.5, std=0.25).eval()
    images = torch.rand((4, 3, 64, 64), generator=stream(0, "memory"))
    with torch.no_grad():
        return model, images, model(images).argmax(1)


def peak(work):
    """Return the most bytes that were held at once, of those that the work asked for itself."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as seen:
        work()
    events = [event for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        held += event.nbytes()
        most = max(most, held)
    return most


def floor(model, images, targets):
    leaf = images.detach().requires_grad_()
    torch.autograd.grad(F.cross_entropy(model(leaf), targets, reduction="sum"), leaf)


def test_the_measure_sees_what_is_held():
    one = 4 * 1000 * 1000

    def work():
        first = torch.zeros(1000, 1000)
        second = first + 1
        del first
        return second * 2

    assert 2 * one <= peak(work) < 2 * one + 100, "and a scalar"


@pytest.mark.parametrize(("attack", "radius"), ATTACKS, ids=repr)
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_takes_little_more_than_one_forward_and_one_backward_pass(attack, radius, norm, case):
    model, images, targets = case
    radius *= 1 if norm == "linf" else images[0].numel() ** 0.5
    threat = Threat(Avoid(), Ball(norm, radius))

    def whole():
        batch = Batch(images=images, targets=targets, threat=threat, rng=[stream(0, row) for row in range(4)])
        counted = Counted(model)
        counted.open(batch)
        attack.perturb(counted, batch)

    with untouched(model):
        floor(model, images, targets)  # what the first pass alone allocates
        least = peak(lambda: floor(model, images, targets))
        assert peak(whole) <= MOST * least
