"""Fine-pruning: units that sleep on clean images are cut, then training goes on (Liu et al., 2018)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.data.imageset import ImageSet
from aseptic.defences.base import Watch, place
from aseptic.defences.course import Course
from aseptic.defences.neurons import Units, most, quality, units_of
from aseptic.models.features import pooled
from aseptic.models.subject import Subject


@dataclass(frozen=True, kw_only=True)
class FinePruning(Course):
    """Cut the units of one layer in the order of their mean activation on clean images, then fine-tune what is left.

    As many are cut as the clean images allow: their quality (balanced accuracy, mean AUROC of findings, or mean Dice)
    falls by no more than ``allowed``. What is cut stays cut while training goes on. An activation is the positive part
    of what the layer gives, behind its normalisation where it has one.

    Paper: https://arxiv.org/abs/1805.12185, sections 3.2 and 3.3.
    Departs from it: how many are cut is found by halving an interval instead of one by one, since quality hardly ever
    rises with another cut; any task; in a segmentation the layer at the bottom of the U. Networks without convolutions
    need a ``layer`` to be named.
    Blind to: triggers that share their units with clean images, as those of pruning-aware attackers do; what lies in
    another layer.
    """

    layer: str | None = None
    """Convolution or linear layer whose units are cut; None: the last convolution before the head."""
    allowed: Number = 0.04
    """Quality on the clean images that may be lost by cutting, in [0, 1)."""
    epochs: int = 10
    """Passes over the clean images after cutting; 0 leaves it at that."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if not 0 <= self.allowed < 1:
            raise InputError(f"allowed must lie in [0, 1), got {self.allowed:g}")
        if self.epochs:
            super().__post_init__()

    def mend(self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch) -> None:
        """Cut and train the copy."""
        units = units_of(subject, clean.select([0]).images.to(place(subject)), self.layer)
        order = activity(subject, units, clean, self.batch_size).argsort(stable=True)
        off = torch.zeros(units.count, dtype=torch.bool)
        off[order[: self._most(subject, units, clean, order)]] = True
        units.silence(off)
        if self.epochs:
            self.train(subject, clean, seed=seed, watch=watch, after=lambda: units.silence(off))

    def _most(self, subject: Subject, units: Units, clean: ImageSet, order: Tensor) -> int:
        """Return how many units can be cut, the sleepiest first; one at least stays."""
        least = quality(subject, clean, self.batch_size) - self.allowed
        kept = {name: value.clone() for name, value in units.carrier.state_dict().items()}

        def good(number: int) -> bool:
            off = torch.zeros(units.count, dtype=torch.bool)
            off[order[:number]] = True
            units.silence(off)
            found = quality(subject, clean, self.batch_size)
            units.carrier.load_state_dict(kept)
            return found >= least

        return most(units.count - 1, good)


def activity(subject: Subject, units: Units, clean: ImageSet, batch_size: int) -> Tensor:
    """Return the mean activation of every unit on clean images, over images and places."""
    total = torch.zeros(units.count, dtype=torch.double)

    def add(_: nn.Module, __: tuple[object, ...], output: Tensor) -> None:
        nonlocal total
        total = total + pooled(output.clamp(min=0)).double().sum(0).cpu()

    handle = units.read.register_forward_hook(add)
    try:
        with torch.no_grad():
            for batch in clean.batches(batch_size):
                subject(batch.images.to(place(subject)))
    finally:
        handle.remove()
    return total / len(clean)
