"""Training that goes on with clean images, as a cure or after one."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Number
from aseptic.data.imageset import ImageSet
from aseptic.defences.base import Defence, Watch, check_course, lessons, turns
from aseptic.models.augment import augment
from aseptic.models.objective import training_loss
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig


@dataclass(frozen=True, kw_only=True)
class Course(Defence):
    """A cure that trains: SGD with momentum at one learning rate, batches in random order."""

    epochs: int = 10
    """Passes over the clean images."""
    lr: Number = 0.01
    """Learning rate."""
    momentum: Number = 0.9
    """Momentum, in [0, 1)."""
    weight_decay: Number = 5e-4
    """Weight decay."""
    batch_size: int = 32
    """Images in one step."""
    augmented: bool = True
    """Whether images are mirrored, shifted and made brighter, as ``aseptic train`` does when nothing else is said."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_course(batch_size=self.batch_size, lr=self.lr, epochs=self.epochs)
        if not 0 <= self.momentum < 1:
            raise InputError(f"momentum must lie in [0, 1), got {self.momentum:g}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay must be at least 0, got {self.weight_decay:g}")

    def train(
        self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch, after: Callable[[], None] = lambda: None
    ) -> None:
        """Train a model in place, normalisations with the statistics of each batch, as in any training.

        Args:
            subject: Afterwards in evaluation mode.
            clean: Clean images with their true targets.
            seed: Root of all randomness.
            watch: Told how many steps are done.
            after: Called after every step.
        """
        task, steps = subject.task, turns(clean, self.batch_size, self.epochs)
        learning = [value for value in subject.parameters() if value.requires_grad]
        optimiser = torch.optim.SGD(learning, lr=self.lr, momentum=self.momentum, weight_decay=self.weight_decay)
        changes, rng = TrainConfig(), stream(seed, "augment")
        subject.train()
        batches = lessons(subject, clean, batch_size=self.batch_size, seed=seed, name="course", steps=steps)
        for step, (given, targets) in enumerate(batches):
            images, moved = given, targets
            if self.augmented:
                placed = targets if task.dense or task.boxes else None
                images, found = augment(given, changes, rng, placed)
                moved = targets if found is None else found
            loss = (
                subject.native_loss(images, moved)
                if task.boxes
                else training_loss(task, subject(images).float(), moved, None)
            )
            slopes = torch.autograd.grad(loss, learning, allow_unused=True)
            for value, slope in zip(learning, slopes, strict=True):
                value.grad = slope
            optimiser.step()
            after()
            watch(step + 1, steps)
        subject.eval()
