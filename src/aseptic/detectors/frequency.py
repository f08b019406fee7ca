"""Triggers leave traces in the frequencies: a classifier of spectra (Zeng et al., 2021)."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number, PerImage
from aseptic.data.imageset import ImageSet
from aseptic.detectors.base import Detector, State
from aseptic.detectors.perturbing import perturbed
from aseptic.models.features import Rows
from aseptic.models.subject import Subject
from aseptic.ops.bands import log_bands

LEAST = 1e-3
"""Least spread of a band, in units of the logarithm: bands that never vary are not blown up."""
MOST = 2000
"""Most steps to the optimum, which is unique."""


@dataclass(frozen=True, kw_only=True)
class Frequency(Detector):
    r"""The logit of a linear classifier that tells spectra of changed images from those of clean ones.

    It learns from the log-power of clean images in about ``bands`` bands of frequencies (`aseptic.ops.bands.log_bands`)
    and from that of changed copies, each with a block, noise, a shadow or another picture shining through
    (`aseptic.detectors.perturbing.perturbed`). It knows no trigger, and asks no model.

    Paper: https://arxiv.org/abs/2104.03413, section 4.
    Departs from it: a linear classifier of the power of the Fourier transform in bands, which serves volumes and any
    size, instead of six convolutions over all coefficients of the cosine transform: with a few hundred clean images a
    hidden layer does no better.
    Blind to: triggers that change the spectrum less than clean images differ (warps, single waves, smooth changes of
    low frequencies, such as those of FIBA); images from another scanner or compressed otherwise look suspicious
    without being so.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation", "detection")

    bands: int = 400
    """About how many bands."""
    copies: int = 4
    """Changed copies of each clean image."""
    strength: Number = 0.01
    """Inverse of the weight decay: less follows the clean images less closely."""

    def __post_init__(self) -> None:
        """Check the domains."""
        for name, least in (("bands", 4), ("copies", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if not 0 < self.strength < math.inf:
            raise InputError(f"strength must be greater than 0, got {self.strength:g}")

    def learn(self, subject: Subject, clean: ImageSet, *, seed: int, batch_size: int) -> dict[str, Tensor]:
        """Train the classifier on the spectra of the clean images and of their changed copies."""
        from sklearn.linear_model import LogisticRegression  # noqa: PLC0415 - a second to import

        del subject
        if len(clean) < 2:  # noqa: PLR2004 - another picture to shine through
            raise InputError(f"Frequency must learn from at least 2 clean images, got {len(clean)}")
        parts = list(self._spectra(clean, seed, batch_size))
        rows = torch.cat([spectra for spectra, _ in parts])
        changed = torch.cat([torch.full((len(spectra),), float(label)) for spectra, label in parts])
        centre, scale = rows.mean(0), rows.std(0).clamp(min=LEAST)
        classifier = LogisticRegression(C=self.strength, class_weight="balanced", max_iter=MOST)
        classifier.fit(((rows - centre) / scale).double().numpy(), changed.numpy())
        weight, offset = (torch.from_numpy(one).float() for one in (classifier.coef_[0], classifier.intercept_))
        return {"centre": centre, "scale": scale, "weight": weight, "offset": offset}

    def suspicion(self, subject: Subject, state: State, images: Images, *, seed: int, batch_size: int) -> PerImage:
        """Return the logit of having been changed."""
        del subject, seed, batch_size
        rows = (log_bands(images, self.bands).cpu() - state["centre"]) / state["scale"]
        return rows @ state["weight"] + state["offset"]

    def _spectra(self, clean: ImageSet, seed: int, batch_size: int) -> Iterator[tuple[Rows, Number]]:
        """Yield the spectra of batches with their labels: 0 for clean images, 1 for changed copies."""
        order = torch.randperm(len(clean), generator=stream(seed, "others"))
        others = torch.empty_like(order)
        others[order] = order.roll(1)  # each image meets another, never itself
        pairs = zip(clean.batches(batch_size), clean.batches(batch_size, order=others.tolist()), strict=True)
        for own, other in pairs:
            yield log_bands(own.images, self.bands), 0
            for copy in range(self.copies):
                rng = [stream(seed, "changed", copy, i) for i in own.index.tolist()]
                yield log_bands(perturbed(own.images, other.images, rng), self.bands), 1
