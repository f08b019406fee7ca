"""Diverse inputs (Xie et al., 2019) on 2-D and 3-D images."""

import math
from dataclasses import dataclass

from aseptic.attacks.changes import draw_frames
from aseptic.attacks.momentum import MomentumAttack, Walk
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.ops.axes import along


@dataclass(frozen=True, kw_only=True)
class DIFGSM(MomentumAttack):
    r"""Momentum iteration on :math:`\nabla J(T(x'))`, where ``T`` resizes and frames an image at random.

    Paper: https://arxiv.org/abs/1803.06978, section 3 (M-DI2-FGSM; 299 pixels grow to at most 330, probability 0.5).
    Departs from it: any goal; also l2 and l1; every image has its own draw; the framed image is brought back to its
    size, because a network may know only that; the content may reach the far end of the frame.
    Blind to: surrogates that look elsewhere than the audited model, and masked gradients.
    """

    rate: Number = 1.1
    """Largest size of the content in its frame, as a fraction of the image's; below 1, the smallest."""
    probability: Number = 0.5
    """How often an image is changed in a step."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        if not (math.isfinite(self.rate) and self.rate > 0 and self.rate != 1):
            raise InputError(f"rate must be a positive number other than 1, got {self.rate!r}")
        if not 0 < self.probability <= 1:
            raise InputError(f"probability must lie in (0, 1], got {self.probability!r}")

    def uphill(self, walk: Walk) -> Images:
        """Return the gradient through this step's resizing and framing."""
        maps = draw_frames(walk.batch.images.shape[2:], walk.batch.rng, self.rate, self.probability)
        return walk.slope(walk.found, lambda images: along(images, maps))
