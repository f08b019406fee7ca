"""What a scanner's statistic would be if no label had anything of its own: a null distribution from the set itself."""

import math
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Number
from aseptic.scanners.sets.base import Evidence, SetScanner


def permuted(evidence: Evidence, rng: torch.Generator) -> Evidence:
    """Return the evidence with everything that the labels do not explain dealt to the images anew.

    From the rows their least-squares fit on the labels is taken away, which leaves every class centred; what remains
    changes places at random. Classes keep their sizes, and images all their labels. A minority of one class that
    differs from the rest of it is then spread over all of them.

    Paper: Freedman and Lane (1983), the permutation of residuals, https://doi.org/10.2307/1391660.
    Blind to: poison that every class has alike. Of sets whose clean classes differ in how varied they are, what it
    calls rare is not: prefer clean sets, scanned the same way, wherever there are some.
    """
    design, rows = _design(evidence), evidence.rows.double()
    residuals = rows - design @ torch.linalg.lstsq(design, rows, driver="gelsd").solution
    order = torch.randperm(len(rows), generator=rng)
    return replace(evidence, rows=residuals[order].float())


def null_statistics(
    scanner: SetScanner, evidence: Evidence, *, draws: int = 100, seed: int = 0
) -> Float[np.ndarray, " draw"]:
    """Return the scanner's statistic of as many `permuted` sets, each from a stream of its own."""
    found = [
        scanner.judge(permuted(evidence, stream(seed, "null", draw)), seed=seed).statistic for draw in range(draws)
    ]
    return np.array(found, dtype=float)


def widened(statistics: Sequence[Number], overlap: Number) -> list[float]:
    r"""Return the statistics of overlapping parts of one clean set, as far apart as those of other sets would be.

    Parts that hold a share ``f`` of the same ``N`` images are alike: around the mean of the whole, a mean over such a
    part varies by :math:`(1 - f) \sigma^2 / (f N)`, one over as many images of another set by
    :math:`(1 + f) \sigma^2 / (f N)`. Distances from the mean are enlarged by the root of the ratio.

    Paper: Cochran (1977), Sampling Techniques, theorem 2.2, for the variance without replacement.
    Departs from it: the largest of several statistics is no mean, and is treated as one.
    Blind to: how far apart sets of different sources are, of which parts of one set say nothing.

    Args:
        statistics: Of the parts.
        overlap: Share of the set that each part holds, in [0, 1).

    Raises:
        InputError: The share is outside its domain.

    >>> widened([1.0, 3.0], 0.0), widened([1.0, 3.0], 0.6)
    ([1.0, 3.0], [0.0, 4.0])
    """
    if not 0 <= overlap < 1:
        raise InputError(f"overlap must lie in [0, 1), got {overlap!r}")
    centre, factor = math.fsum(statistics) / max(len(statistics), 1), math.sqrt((1 + overlap) / (1 - overlap))
    return [centre + factor * (one - centre) for one in statistics]


def _design(evidence: Evidence) -> Float[Tensor, "image column"]:
    """Return an indicator of each class; or 1 and each finding, a half where it is unknown."""
    targets = evidence.targets
    if targets.ndim == 1:
        return torch.nn.functional.one_hot(targets.long(), len(evidence.classes)).double()
    return torch.cat([torch.ones(len(targets), 1), targets.nan_to_num(0.5)], 1).double()
