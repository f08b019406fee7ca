"""Triggers in the frequencies: a minority of a class whose spectra all differ in the same way from the others'."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.models.features import Rows
from aseptic.models.subject import Subject
from aseptic.ops.bands import BANDS, log_bands
from aseptic.scanners.sets.base import Look, Others, SetScanner

SIGMA = 1.4826
"""Standard deviations of a normal distribution in a median absolute deviation."""
FAR = 10.0
"""Standard deviations beyond which a band counts no further: a broken image must not lead the way."""


@dataclass(frozen=True, kw_only=True)
class Spectrum(SetScanner):
    r"""Score the log-spectra of each class along the direction in which they vary more than all others do.

    The spectrum of an image is the logarithm of its power in about ``bands`` bands of frequencies
    (`aseptic.ops.bands.log_bands`). Each band is centred by the median of the class and scaled by the median absolute
    deviation of the other images; the spectra are then whitened by the covariance of the others (shrunk after Ledoit
    and Wolf), which takes away what varies in clean images: contrast, sharpness, noise. The top singular vector ``v``
    of what remains of the class is where a common change of some of its images shows, be it a single wave or a faint
    change of a thousand frequencies. The suspicion is the coordinate along ``v``, from the median in units of the
    median absolute deviation (as a standard deviation), signed so that the longer tail is positive. The statistic of a
    class is its variance along ``v``, of which 1 is that of the others, divided by :math:`(1 + \sqrt{b / n})^2`, what
    chance makes of it in ``b`` bands of ``n`` images (Marchenko and Pastur, 1967). No network is needed.

    Papers: Zeng et al. (2021), https://arxiv.org/abs/2104.03413, on what triggers do to spectra; Tran, Li and Madry
    (2018), https://arxiv.org/abs/1811.00636, and Hayase et al. (2021), https://arxiv.org/abs/2104.11315, on singular
    vectors of what was whitened. The combination is this project's.
    Blind to: triggers that a spectrum does not show (a warp, little squares in large images); poison that all classes
    have alike; classes that come from several sources, whose scanners differ as a trigger would.
    """

    needs_model: ClassVar[bool] = False

    bands: int = BANDS
    """About how many bands; a class of fewer images says little."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        if self.bands < 4:  # noqa: PLR2004 - two along each axis
            raise InputError(f"bands must be at least 4, got {self.bands}")

    def read(self, batches: Iterable[Tensor], subject: Subject | None) -> Rows:
        """Return the log-spectra."""
        del subject
        return torch.cat([log_bands(batch, self.bands) for batch in batches])

    def look(self, rows: Rows, rest: Others, *, seed: int) -> Look:
        """Return how far every image lies along the direction that is the class's own."""
        from sklearn.covariance import LedoitWolf  # noqa: PLC0415 - a second to import

        del seed
        if len(rest) < self.at_least:
            raise InputError(
                f"each label must leave {self.at_least} images without it to compare with, got {len(rest)}"
            )
        own, others = rows.double(), rest.double()
        scale = SIGMA * _spread(others)
        scale = torch.where(scale > 0, scale, 1)
        own, others = (((x - x.median(0).values) / scale).clamp(-FAR, FAR) for x in (own, others))
        covariance = torch.from_numpy(LedoitWolf().fit(others.numpy()).covariance_)
        values, vectors = torch.linalg.eigh(covariance)
        least = 1e-6 * values[-1].clamp(min=torch.finfo(torch.double).tiny)
        white = (own - own.mean(0)) @ vectors / values.clamp(min=least).sqrt()
        left, lengths, _ = torch.linalg.svd(white, full_matrices=False)
        along = left[:, 0] * lengths[0]
        along = along * (1 if along.pow(3).sum() >= 0 else -1)
        spread = SIGMA * _spread(along)
        suspicion = (along - along.median()) / (spread if spread > 0 else 1)
        chance = (1 + math.sqrt(rows.shape[1] / len(rows))) ** 2
        return Look(suspicion=suspicion.float(), statistic=float(lengths[0].square() / len(rows)) / chance)


def _spread(values: Tensor) -> Tensor:
    """Return the median absolute deviation of each column."""
    return (values - values.median(0).values).abs().median(0).values
