"""The momentum iterative method (Dong et al., 2018) on 2-D and 3-D images."""

from dataclasses import dataclass

from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.types import Images


@dataclass(frozen=True, kw_only=True)
class MIFGSM(MomentumAttack):
    r"""Accumulate :math:`g \leftarrow \mu g + \nabla J / \lVert\nabla J\rVert_1` and step along :math:`u(g)`.

    Paper: https://arxiv.org/abs/1710.06081, algorithm 1.
    Departs from it: any goal; also l1; the gradient is divided by its mean absolute value, which is the same direction.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    def uphill(self, walk: Walk) -> Images:
        """Return the gradient where the search is."""
        return walk.slope(walk.found)
