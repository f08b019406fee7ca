"""Clean sets, and a detector that asks nobody."""

import torch

from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.detectors.base import Detector


def clean_set(images, task="multiclass", patients=None):
    if task == "multiclass":
        return memory_set(
            "clean", images, torch.arange(len(images)) % 3, classes=list("abc"), task=task, patients=patients
        )
    targets = torch.rand((len(images), 3), generator=stream(0, "findings")).round()
    return memory_set("clean", images, targets, classes=list("abc"), task=task, patients=patients)


class Brightness(Detector):
    """A detector that asks nobody; images darker than nothing are infinite."""

    def learn(self, subject, clean, *, seed, batch_size):
        del subject, seed, batch_size
        return {"seen": torch.tensor([len(clean)])}

    def suspicion(self, subject, state, images, *, seed, batch_size):
        del subject, state, seed, batch_size
        mean = images.flatten(1).mean(1)
        return torch.where(mean == 0, torch.inf, torch.where(mean == 1, torch.nan, mean))


def flat(values):
    return torch.as_tensor(values, dtype=torch.float32).reshape(-1, 1, 1, 1).expand(-1, 1, 8, 8).contiguous()
