"""Beatrix: poison has other correlations between features than clean images of its label (Ma et al., 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.models.features import Rows, at_places
from aseptic.scanners.sets.base import FeatureScanner, Look, Others

LEAST_SPREAD = 0.1
"""Least spread of an entry, as a share of the mean spread of its order: a unit that is silent on the clean images of a
class would otherwise outweigh all others when any image wakes it."""


@dataclass(frozen=True, kw_only=True)
class Beatrix(FeatureScanner):
    r"""How far the Gram features of an image lie outside what is usual for its label.

    The Gram matrix of order ``p`` of a map with features :math:`v_i` at each place is :math:`G^p_{ij} = (\sum_x
    v_i(x)^p v_j(x)^p)^{1/p}`, here with its rows summed under the root. An entry's distance from the median of the
    label, in median absolute deviations and beyond ``reach`` of them, is :math:`d`; the suspicion is the mean of
    :math:`\log(1 + d)` over all entries. The statistic of a class is the mean suspicion of its images.

    It was chosen beside SPECTRE (Hayase et al., 2021), which estimates a robust covariance and for that needs many more
    images of a class than it keeps dimensions: medians need a few dozen, which is what rare findings have. Its
    correlations also see triggers that look different in every image and leave no common shift.

    Paper: https://arxiv.org/abs/2209.11715, section 4; rows summed as in Sastry and Oore (2020),
    https://arxiv.org/abs/1912.12510, section 3.
    Departs from it: medians are those of the images of the label themselves, of which less than half may be poisoned,
    instead of clean ones; distances are logarithms of median absolute deviations instead of shares of the limit, which
    may be near 0; orders 1, 2, 4 and 8; no comparison among classes, of which there may be two.
    Blind to: poison that makes up nearly half of a label; classes that are varied in many ways.
    """

    orders: tuple[int, ...] = (1, 2, 4, 8)
    """Powers ``p``."""
    reach: Number = 1
    """Median absolute deviations that are usual."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        if not self.orders or min(self.orders) < 1:
            raise InputError(f"orders must be whole numbers of at least 1, got {list(self.orders)}")
        if not self.reach >= 0:
            raise InputError(f"reach must be at least 0, got {self.reach!r}")

    def kept(self, value: Tensor) -> Rows:
        """Return the roots of the row sums of the Gram matrix of every order, one order after the other."""
        maps = at_places(value).double()
        peak = maps.abs().amax((1, 2)).clamp(min=torch.finfo(torch.float32).tiny)
        found = []
        for order in self.orders:
            power = (maps / peak[:, None, None]) ** order
            sums = (power * power.sum(1, keepdim=True)).sum(2)
            found.append(sums.sign() * sums.abs() ** (1 / order) * peak[:, None] ** 2)
        return torch.cat(found, 1)

    def look(self, rows: Rows, rest: Others, *, seed: int) -> Look:
        """Return how far every image lies outside the usual range."""
        del rest, seed
        away = (rows - rows.median(0).values).abs().double()
        spread = away.median(0).values
        by_order = spread.reshape(len(self.orders), -1)
        least = LEAST_SPREAD * by_order.mean(1, keepdim=True).expand_as(by_order).reshape(-1)
        spread = torch.maximum(spread, least)
        beyond = torch.where(spread > 0, (away / spread - self.reach).clamp(min=0), 0)
        suspicion = beyond.log1p().mean(1)
        return Look(suspicion=suspicion.float(), statistic=float(suspicion.mean()))
