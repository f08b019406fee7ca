"""The Nesterov iterative method (Lin et al., 2020) on 2-D and 3-D images."""

from dataclasses import dataclass

from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.types import Images


@dataclass(frozen=True, kw_only=True)
class NIFGSM(MomentumAttack):
    r"""Momentum iteration whose gradient is taken ahead, at :math:`x' + a \mu g`.

    Paper: https://arxiv.org/abs/1908.06281, section 3 (NI-FGSM).
    Departs from it: any goal; also l2 and l1, where an image of ones has the length of one gradient; as in the
    authors' code gradients have a mean absolute value of 1 (divided by their sum, the look ahead would be nothing).
    The point ahead may leave the budget and [0, 1], as theirs does.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    def uphill(self, walk: Walk) -> Images:
        """Return the gradient where the momentum leads."""
        return walk.slope(walk.ahead(self.step * self.decay))
