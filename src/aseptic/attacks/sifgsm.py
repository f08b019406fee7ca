"""The scale-invariant method (Lin et al., 2020) on 2-D and 3-D images."""

from dataclasses import dataclass
from functools import partial

import torch

from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.errors import InputError
from aseptic.core.types import Images


@dataclass(frozen=True, kw_only=True)
class SIFGSM(MomentumAttack):
    r"""Momentum iteration on :math:`\frac{1}{m} \sum_{i < m} \nabla J(x' / 2^i)`, taken where the momentum leads.

    Paper: https://arxiv.org/abs/1908.06281, algorithm 1 (SI-NI-FGSM; five copies).
    Departs from it: any goal; also l2 and l1; the look ahead can be left out.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients; dark copies are far from
    medical images, on which a network may be saturated.
    """

    copies: int = 5
    """Number ``m`` of copies, each half as bright as the one before."""
    look_ahead: bool = True
    """Take the gradient where the momentum leads (SI-NI-FGSM), not where the search is."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        if self.copies < 1:
            raise InputError(f"copies must be a whole number of at least 1, got {self.copies!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return the mean gradient over the copies."""
        at = walk.ahead(self.step * self.decay) if self.look_ahead else walk.found
        return walk.mean_slope(at, [partial(torch.mul, other=0.5**power) for power in range(self.copies)])
