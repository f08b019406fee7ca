"""What every detector of inputs is: settings, a state that is learned from clean images, and a score for each image."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar, final

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Flags, Images, Number, PerImage
from aseptic.data.imageset import ImageSet
from aseptic.data.splits import draw_share, sample
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

State = Mapping[str, Tensor]
"""What was learned, by name: all that a score depends on beside the settings, the seed and the model."""


@dataclass(frozen=True, kw_only=True)
class Detector(ABC):
    """One method with its settings. Adding one is one module and one line in `aseptic.detectors.catalogue.DETECTORS`.

    A score is a number of the image alone: neither the other images, nor their order, nor the size of the batches play
    a part. Higher is more suspicious; NaN means that nothing can be said.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel")
    """Tasks that it serves."""

    @abstractmethod
    def learn(self, subject: Subject, clean: ImageSet, *, seed: int, batch_size: int) -> dict[str, Tensor]:
        """Return what is learned, as tensors on the CPU.

        Args:
            subject: Model, in evaluation mode and frozen.
            clean: Images that are surely clean.
            seed: Root of all randomness.
            batch_size: Images that the model is asked about at a time.
        """

    @abstractmethod
    def suspicion(self, subject: Subject, state: State, images: Images, *, seed: int, batch_size: int) -> PerImage:
        """Return one number for each image, on the CPU; higher is more suspicious.

        Args:
            subject: Model, in evaluation mode and frozen; no gradients are recorded.
            state: What `learn` returned.
            images: Inputs in [0, 1], on the model's device.
            seed: The one that `learn` was given.
            batch_size: Images that the model is asked about at a time.
        """

    @final
    def fit(
        self, subject: Subject, clean: ImageSet, *, held: float = 0.5, seed: int = 0, batch_size: int = 32
    ) -> "FittedDetector":
        """Return the detector, ready for use: learned from a part of the clean images, its threshold from the others.

        Args:
            subject: Model whose inputs are judged; the same afterwards as before.
            clean: Images that are surely clean, as the network is fed them, of one shape.
            held: Share of the patients (of the images, where patients are not known) that is not learned from: their
                scores say how suspicious clean images look.
            seed: Root of all randomness.
            batch_size: Images that the model is asked about at a time.

        Raises:
            InputError: The detector does not serve the model, or the images are too few to be split.
            ContractError: A score is infinite or the model was changed.
        """
        if subject.task.name not in self.tasks:
            raise InputError(f"{type(self).__name__} serves {' and '.join(self.tasks)} models, got {subject.task.name}")
        if not 0 < held < 1:
            raise InputError(f"held must lie in (0, 1), got {held:g}")
        kept = set(draw_share(clean.items, held, seed=seed)) if len(clean) else set()
        rest = [i for i in range(len(clean)) if i not in kept]
        if not rest:
            raise InputError(
                f"clean images must be of at least 2 patients, to learn from one and hold out another, "
                f"got {len(clean)} images"
            )
        with untouched(subject):
            state = self.learn(subject, clean.select(rest), seed=seed, batch_size=batch_size)
            fitted = FittedDetector(
                detector=self,
                subject=subject,
                state=state,
                shape=tuple(clean.shown(rest[0]).shape),
                seed=seed,
                held=torch.zeros(0),
            )
            scores = fitted.score(clean.select(sorted(kept)), batch_size=batch_size)
        return FittedDetector(
            detector=self, subject=subject, state=state, shape=fitted.shape, seed=seed, held=scores.sort().values
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class FittedDetector:
    """A detector with what it has learned; `aseptic.detectors.catalogue` writes it to a file and reads it again."""

    detector: Detector
    """Method and settings."""
    subject: Subject
    """Model whose inputs are judged."""
    state: State
    """What was learned."""
    shape: tuple[int, ...]
    """Channels and space axes of the images that it was learned from; others are refused."""
    seed: int
    """Root of all randomness."""
    held: Float[Tensor, " held"]
    """Scores of the clean images that were not learned from, in ascending order, NaN last."""

    def score(self, images: Images | ImageSet, *, batch_size: int = 32) -> PerImage:
        """Return how suspicious each image is; NaN where nothing can be said.

        Args:
            images: Inputs, as the network is fed them; of a set, a batch at a time is in memory.
            batch_size: Images that the model is asked about at a time.

        Raises:
            InputError: The images are not of the shape of those that were learned from, or outside [0, 1].
            ContractError: A score is infinite or the model was changed.
        """
        batches = (
            torch.split(images, batch_size)
            if isinstance(images, Tensor)
            else (batch.images for batch in images.batches(batch_size))
        )
        parts = [torch.zeros(0)]
        with untouched(self.subject), torch.no_grad():
            for batch in batches:
                if not len(batch):
                    continue
                if tuple(batch.shape[1:]) != self.shape:
                    raise InputError(f"images must be {[*self.shape]}, as those it has learned from, "
                                     f"got {[*batch.shape[1:]]}")  # fmt: skip
                low, high = float(batch.min()), float(batch.max())
                if not (low >= 0 and high <= 1):
                    raise InputError(f"images must lie in [0, 1], got values from {low:g} to {high:g}")
                shown = batch.to(next(self.subject.parameters(), batch).device)
                found = self.detector.suspicion(self.subject, self.state, shown, seed=self.seed, batch_size=batch_size)
                if found.isinf().any():
                    raise ContractError(f"{type(self.detector).__name__} must give finite scores or NaN, got infinity")
                parts.append(found.float().cpu())
        return torch.cat(parts)

    def threshold(self, false_positive_rate: Number = 0.05) -> float:
        """Return the score above which an image is called suspicious, so that of clean ones few enough are.

        Of ``n`` held-out clean scores it is number ``floor(rate (n + 1))`` from above. A further clean image, drawn as
        these were, lies above it with at most that probability, whatever the scores and their distribution (conformal
        prediction; Vovk, Gammerman and Shafer, 2005, doi:10.1007/b106715, chapter 2). It says nothing about images
        from elsewhere.

        Args:
            false_positive_rate: Share of clean images that may be called suspicious.

        Raises:
            InputError: The rate is not in (0, 1), or too low for so few held-out images.
        """
        if not 0 < false_positive_rate < 1:
            raise InputError(f"false_positive_rate must lie in (0, 1), got {false_positive_rate:g}")
        known = self.held[~self.held.isnan()]
        allowed = math.floor(Fraction(str(false_positive_rate)) * (len(known) + 1))
        if allowed < 1:
            raise InputError(
                f"false_positive_rate must be at least {1 / (len(known) + 1):.3g} with {len(known)} held-out clean "
                f"images, got {false_positive_rate:g}"
            )
        return float(known[-allowed])

    def flags(self, images: Images | ImageSet, *, false_positive_rate: Number = 0.05, batch_size: int = 32) -> Flags:
        """Return which images lie above the `threshold`; where nothing can be said, they do not.

        Raises:
            InputError: As `score` and `threshold`.
        """
        return self.score(images, batch_size=batch_size) > self.threshold(false_positive_rate)


def stacked(clean: ImageSet, limit: int, *, seed: int) -> Images:
    """Return at most ``limit`` random images of a set, classes in proportion, as a detector keeps them."""
    return clean.select(sample(clean.items, limit, seed=seed)).images.clone()
