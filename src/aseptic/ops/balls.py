"""Norm balls: how large a perturbation is, the nearest one allowed, one drawn at random, the steepest one."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number, PerImage
from aseptic.ops.images import per_image

ORDER = {"linf": math.inf, "l2": 2.0, "l1": 1.0}
"""Exponent of each norm."""
DUAL = {"linf": 1.0, "l2": 2.0, "l1": math.inf}
"""Exponent of each norm's dual: how fast a linear function can grow for each unit of the norm."""
ROUNDING = 2.0**-24
"""Half the spacing of float32 below 2: what storing an image in [0, 1] may add to each value."""
SPARSITY = 100
"""An l1 step moves one value in so many (the 99th percentile of Tramer and Boneh)."""


@runtime_checkable
class Budget(Protocol):
    """How much of one image an attacker may change: `Ball`, or a `aseptic.ops.windows.Window`."""

    @property
    def norm(self) -> str:
        """Name of what is measured."""

    @property
    def radius(self) -> Number:
        """Largest size allowed."""

    def size(self, delta: Images) -> PerImage:
        """Return how large each perturbation is."""

    def project(self, delta: Images) -> Images:
        """Return the nearest perturbation (in Euclidean distance) inside the budget."""

    def sample(self, like: Images, rng: torch.Generator) -> Images:
        """Return perturbations drawn at random from the budget, one for each image of ``like``."""

    def steepest(self, gradient: Images) -> Images:
        """Return the direction along which a linear function with this gradient grows fastest."""

    def rounding(self, like: Images) -> PerImage:
        """Return by how much storing an image in [0, 1] as float32 may enlarge a perturbation."""


@dataclass(frozen=True)
class Ball:
    """All perturbations of one image whose norm is at most ``radius``; a radius of 0 allows none.

    The norm runs over all channels and positions of an image together, so 2-D and 3-D images are alike.

    Raises:
        InputError: An unknown norm; a radius that is negative or not finite.
    """

    norm: str
    """``linf``, ``l2`` or ``l1``."""
    radius: Number
    """Largest norm, in image units: ``2 / 255`` is two grey levels of eight bits."""

    def __post_init__(self) -> None:
        """Check the norm and the radius."""
        if self.norm not in ORDER:
            raise InputError(f"norm must be one of {', '.join(ORDER)}; got {self.norm!r}")
        if not (math.isfinite(self.radius) and self.radius >= 0):
            raise InputError(f"radius must be a finite number of at least 0, got {self.radius!r}")

    def size(self, delta: Images) -> PerImage:
        """Return the norm of each perturbation, accumulated in double precision."""
        if self.norm == "linf":  # no sum, so nothing to accumulate
            return delta.flatten(1).abs().amax(1)
        size: Tensor = torch.linalg.vector_norm(delta.flatten(1), ORDER[self.norm], dim=1, dtype=torch.float64)
        return size.to(delta.dtype)

    def rounding(self, like: Images) -> PerImage:
        """Return by how much storing an image in [0, 1] as float32 may enlarge a perturbation."""
        return self.size(torch.full_like(like, ROUNDING))

    def project(self, delta: Images) -> Images:
        """Return the nearest perturbation (in Euclidean distance) inside the ball."""
        if self.norm == "linf":
            return delta.clamp(-self.radius, self.radius)
        return nearest_inside(self.norm, delta, delta.new_full((len(delta),), self.radius))

    def sample(self, like: Images, rng: torch.Generator) -> Images:
        r"""Return perturbations drawn uniformly from the ball, one for each image of ``like``.

        For l1 and l2, :math:`r\, g / (\lVert g \rVert_p^p + z)^{1/p}` with :math:`g_i \propto e^{-|t|^p}` and
        :math:`z` exponential (Barthe et al., 2005, https://arxiv.org/abs/math/0503650).

        Args:
            like: Gives the shape, type and device.
            rng: CPU generator; drawn on the CPU, then moved.
        """
        wide = torch.float64
        if self.norm == "linf":
            unit = torch.rand(like.shape, generator=rng, dtype=wide) * 2 - 1
            return (unit * self.radius).to(like)
        if self.norm == "l2":
            drawn = torch.randn(like.shape, generator=rng, dtype=wide) / math.sqrt(2)
        else:
            sign = torch.randint(0, 2, like.shape, generator=rng) * 2 - 1
            drawn = torch.empty(like.shape, dtype=wide).exponential_(generator=rng) * sign
        rest = torch.empty(len(like), dtype=wide).exponential_(generator=rng)
        power = ORDER[self.norm]
        whole = (drawn.flatten(1).abs().pow(power).sum(1) + rest).pow(1 / power)
        return (drawn * per_image(self.radius / whole, like)).to(like)

    def steepest(self, gradient: Images) -> Images:
        """Return the direction of norm 1 along which a linear function with this gradient grows fastest.

        Where the gradient is zero, so is the direction. In l1 the exact answer moves a single value; here the largest
        hundredth of the values share the step (never fewer than one), as in the sparse descent of
        Tramer and Boneh (2019, https://arxiv.org/abs/1904.13000, section 4.1), because one value a step is too slow.
        """
        if self.norm == "linf":
            return gradient.sign()
        if self.norm == "l2":
            size = self.size(gradient).clamp(min=torch.finfo(gradient.dtype).tiny)
            return gradient / per_image(size, gradient)
        flat = gradient.flatten(1)
        top = flat.abs().topk(max(1, flat.shape[1] // SPARSITY), dim=1).indices
        signs = flat.gather(1, top).sign()
        share = signs / signs.abs().sum(1, keepdim=True).clamp(min=1)
        return torch.zeros_like(flat).scatter_(1, top, share).reshape(gradient.shape)


def nearest_inside(norm: str, delta: Images, radii: PerImage) -> Images:
    """Return the nearest perturbation (in Euclidean distance) whose norm is at most its own radius; inf is no limit."""
    if norm == "linf":
        limit = per_image(radii, delta)
        return delta.clamp(-limit, limit)
    if norm == "l1":
        return _onto_l1(delta, radii)
    size = Ball(norm, 0).size(delta).clamp(min=torch.finfo(delta.dtype).tiny)
    return delta * per_image((radii / size).clamp(max=1), delta)


def _onto_l1(delta: Images, radii: PerImage) -> Images:
    """Project onto the l1 ball by sorting (Duchi et al., 2008, figure 1), sums in double precision."""
    flat = delta.flatten(1)
    sizes = flat.abs()
    ordered = sizes.sort(dim=1, descending=True).values.double()
    over = ordered.cumsum(1) - radii[:, None]
    counts = torch.arange(1, flat.shape[1] + 1, device=flat.device)
    kept = (ordered * counts > over).sum(1, keepdim=True).clamp(min=1)
    threshold = (over.gather(1, kept - 1) / kept).clamp(min=0)
    left = (sizes.double() - threshold).clamp(min=0).to(delta.dtype)
    return left.copysign(flat).reshape(delta.shape)


def random_start(ball: Budget, images: Images, rng: Sequence[torch.Generator]) -> Images:
    """Return each image moved to a random point of the ball, clipped to [0, 1].

    Args:
        ball: Where to draw from.
        images: Images to start from.
        rng: One stream for each image, so that a start does not depend on the image's neighbours in the batch.
    """
    drawn = [ball.sample(image[None], own) for image, own in zip(images, rng, strict=True)]
    return torch.cat([images[:0], *drawn]).add_(images).clamp_(0, 1)


def unblocked(found: Images, gradient: Images) -> Images:
    """Return the gradient without the values that lie on 0 or 1 and would be pushed beyond."""
    return gradient.masked_fill(((found <= 0) & (gradient < 0)) | ((found >= 1) & (gradient > 0)), 0)


def ascend(ball: Budget, images: Images, found: Images, gradient: Images, fraction: Number) -> Images:
    r"""Return one step of projected steepest ascent: :math:`\Pi_{[0, 1]}(x + \Pi_B(x' - x + a\, u(g)))`.

    Values that already lie on 0 or 1 and would be pushed beyond are left out of the direction, so that the step is
    not spent on them (Croce and Hein, 2021, https://arxiv.org/abs/2103.01208).

    Args:
        ball: Ball ``B`` around the original images.
        images: Original images ``x``.
        found: Where the search is, ``x'``.
        gradient: Gradient of the objective at ``found``.
        fraction: Length ``a`` of the step, as a fraction of the radius.
    """
    if ball.norm != "linf":  # for linf the last clip does exactly the same
        gradient = unblocked(found, gradient)
    delta = ball.steepest(gradient).mul_(fraction * ball.radius).add_(found).sub_(images)
    return ball.project(delta).add_(images).clamp_(0, 1)
