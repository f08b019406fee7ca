"""What every cure is: a model and a few clean images in, a changed copy of the model out."""

import copy
import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import ClassVar, final

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number, Targets
from aseptic.data.imageset import ImageSet
from aseptic.data.matching import match_classes
from aseptic.models.guard import untouched
from aseptic.models.randomness import seeded
from aseptic.models.subject import Subject

Watch = Callable[[int, int], None]
"""Called with the steps that are done and their number, as far as it is known."""


@dataclass(frozen=True, kw_only=True)
class Defence(ABC):
    """One cure with its settings. Adding one is one module and one line in `aseptic.defences.catalogue.DEFENCES`.

    What it costs in clean quality and what it leaves of a backdoor is for others to measure, on other images. A class
    without clean images may be lost, and the clean images cannot show it.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation")
    """Tasks that it serves."""

    @abstractmethod
    def mend(self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch) -> None:
        """Change a model in place; torch's global generators are at a stream of the seed.

        Args:
            subject: The copy, in evaluation mode, all of its parameters learning.
            clean: Clean images with their true targets.
            seed: Root of all randomness.
            watch: Told how far it is.
        """

    @final
    def cure(self, subject: Subject, clean: ImageSet, *, seed: int = 0, watch: Watch | None = None) -> Subject:
        """Return a cured copy, in evaluation mode, where the given model is; that one stays as it was.

        The operating point stays, too. The same images, settings and seed give the same weights on the same CPU.

        Args:
            subject: Model that may carry a backdoor.
            clean: Images that are surely clean, as the network is fed them, with their true targets; classes are
                matched by name.
            seed: Root of all randomness.
            watch: Told how far it is.

        Raises:
            InputError: The cure does not serve the model, the images are of another task or other classes, or the
                weights are no longer finite.
            ContractError: The given model was changed.
        """
        task = subject.task
        if task.name not in self.tasks:
            raise InputError(f"{type(self).__name__} serves {' and '.join(self.tasks)} models, got {task.name}")
        if clean.task != task.name:
            raise InputError(f"clean images must have labels for {task.name}, as the model; got {clean.task or 'none'}")
        clean = match_classes(clean, task.classes)
        if not len(clean):
            raise InputError(f"a cure needs clean images, and {clean.name} has none")
        shown = {item.label for item in clean.items}
        if task.name == "multiclass" and len(shown) == 1:
            only = ", ".join(task.classes[k] for k in shown if isinstance(k, int))
            raise InputError(
                f"clean images must be of at least 2 classes, or the others are forgotten; got only {only}"
            )
        made = copy.deepcopy(subject)
        modes = [parameter.requires_grad for parameter in made.parameters()]
        made.eval().requires_grad_(requires_grad=True)
        with untouched(subject), seeded(seed, "cure", device=place(made)):
            self.mend(made, clean, seed=seed, watch=watch or _nobody)
        if not all(value.isfinite().all() for value in made.state_dict().values() if value.is_floating_point()):
            raise InputError(
                f"the weights are no longer finite: {type(self).__name__} has diverged; take smaller steps"
            )
        for parameter, required in zip(made.parameters(), modes, strict=True):
            parameter.grad = None
            parameter.requires_grad_(required)
        return made.eval()


def _nobody(done: int, total: int) -> None:
    del done, total


def place(subject: Subject) -> torch.device:
    """Return where the model is."""
    return next((value.device for value in subject.parameters()), torch.device("cpu"))


def lessons(  # noqa: PLR0913 - from what, how much, from which stream; by keyword
    subject: Subject, clean: ImageSet, *, batch_size: int, seed: int, name: str, steps: int
) -> Iterator[tuple[Images, Targets]]:
    """Yield so many batches where the model is, all images in a new random order before any comes again.

    Args:
        subject: Says where to.
        clean: What is learned from.
        batch_size: Images in a batch.
        seed: Root of all randomness.
        name: Of the stream that the orders come from.
        steps: Batches.
    """
    device, size = place(subject), min(batch_size, len(clean))
    passes = math.ceil(steps * size / len(clean))
    order = [
        int(i)
        for turn in range(passes)
        for i in torch.randperm(len(clean), generator=stream(seed, name, turn)).tolist()
    ]
    for batch in clean.batches(size, order=order[: steps * size]):
        yield batch.images.to(device), _known(batch.targets).to(device)


def turns(clean: ImageSet, batch_size: int, epochs: int = 1) -> int:
    """Return how many batches show every image about ``epochs`` times."""
    return max(1, round(epochs * len(clean) / min(batch_size, len(clean))))


def _known(targets: Targets | None) -> Tensor:
    if targets is None:
        raise InputError("clean images must have targets, got none")
    return targets


def check_course(*, batch_size: int, lr: Number, **counts: int) -> None:
    """Raise `InputError` where a batch, a learning rate or a number of turns has no meaning."""
    for name, value in {"batch_size": batch_size, **counts}.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1, got {value}")
    if not 0 < lr < math.inf:
        raise InputError(f"lr must be greater than 0, got {lr:g}")
