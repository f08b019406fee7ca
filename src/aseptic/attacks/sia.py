"""The structure-invariant method (Wang et al., 2023) on 2-D and 3-D images."""

import math
from dataclasses import dataclass
from functools import partial

from aseptic.attacks.changes import blockwise
from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number


@dataclass(frozen=True, kw_only=True)
class SIA(MomentumAttack):
    r"""Momentum iteration on the mean of :math:`\nabla J(T(x'))`, where ``T`` changes each block of an image by itself.

    Paper: https://arxiv.org/abs/2309.14700, section 3 (20 copies, three blocks along each axis, ten changes).
    Departs from it: any goal; also l2 and l1; every image has its own draws; in volumes shifts and flips have one more
    axis and half turns two more planes; dropout takes values, not whole channels; noise is not clipped to [0, 1].
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    copies: int = 20
    """Number of changed copies whose gradients are averaged in each step."""
    blocks: int = 3
    """Parts along each space axis."""
    noise: Number = 16 / 255
    """Largest absolute value of the noise in a noisy block, in image units."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        for name in ("copies", "blocks"):
            if (number := getattr(self, name)) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {number!r}")
        if not (math.isfinite(self.noise) and self.noise >= 0):
            raise InputError(f"noise must be a number of at least 0, got {self.noise!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return the mean gradient over the changed copies."""
        change = partial(blockwise, rng=walk.batch.rng, blocks=self.blocks, noise=self.noise)
        return walk.mean_slope(walk.found, [change] * self.copies)
