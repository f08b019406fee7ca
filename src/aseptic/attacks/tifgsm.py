"""The translation-invariant method (Dong et al., 2019) on 2-D and 3-D images."""

import math
from dataclasses import dataclass

from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.axes import along, gaussian, smoothing


@dataclass(frozen=True, kw_only=True)
class TIFGSM(MomentumAttack):
    r"""Momentum iteration on :math:`W * \nabla J(x')`, the gradient smoothed along every space axis.

    Paper: https://arxiv.org/abs/1904.02884, section 3 (Gaussian kernel of 15, cut at three standard deviations).
    Departs from it: any goal; also l2 and l1; volumes are smoothed along all three axes.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients; fine structure of the
    gradient, which the kernel removes, so that in a white-box audit it is weaker than momentum alone.
    """

    kernel: int = 15
    """Width of the kernel, in pixels; odd."""
    spread: Number = 3.0
    """Standard deviations from the middle of the kernel to its ends."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise InputError(f"kernel must be an odd number of pixels, got {self.kernel!r}")
        if not (math.isfinite(self.spread) and self.spread > 0):
            raise InputError(f"spread must be a positive number of standard deviations, got {self.spread!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return the smoothed gradient."""
        weights = gaussian(self.kernel, self.spread)
        return along(walk.slope(walk.found), [smoothing(length, weights) for length in walk.batch.images.shape[2:]])
