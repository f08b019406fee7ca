"""Features of three classes that nobody had to compute, some of them poisoned."""

import torch

from aseptic.core.rng import stream
from aseptic.scanners.sets import Evidence

CLASSES = ("a", "b", "c")


def normal(*shape, name="x"):
    return torch.randn(shape, generator=stream(0, "scan", name, *shape))


def poisoned(count=60, bad=9, units=12, shift=6.0):
    """Return features of three classes of their own spread; ``bad`` rows of class b lie somewhere else, together."""
    rows, targets = normal(3 * count, units), torch.arange(3 * count) % 3
    rows[:, :3] += 4 * torch.nn.functional.one_hot(targets, 3)
    where = (targets == 1).nonzero()[:bad, 0]
    rows[where, 5:8] += shift
    infected = torch.zeros(len(rows))
    infected[where] = 1
    return Evidence(rows=rows, targets=targets, classes=CLASSES), infected.double().numpy()
