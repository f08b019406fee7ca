"""Shapes on a square that spans [-1, 1] both ways, y downwards: the same drawing at every size."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F


def plane(size: int) -> tuple[Tensor, Tensor]:
    """Return x ``[1, 1, size]`` and y ``[1, size, 1]`` of the pixel centres."""
    axis = (torch.arange(size) * 2 + 1) / size - 1
    return axis[None, None, :], axis[None, :, None]


def ramp(distance: Tensor, width: float | Tensor) -> Tensor:
    """Return 0 outside and 1 inside, rising smoothly over ``width`` about ``distance`` = 0."""
    t = (distance / width).add_(0.5).clamp_(0, 1)
    return (3 - 2 * t).mul_(t).mul_(t)


def bump(distance: Tensor, width: float | Tensor) -> Tensor:
    """Return ``1 / (1 + (distance / width)^2)^2``: a soft hill that costs no exponential."""
    return (distance / width).square_().add_(1).square_().reciprocal_()


def turned(x: Tensor, y: Tensor, angle: Tensor) -> tuple[Tensor, Tensor]:
    """Return the coordinates in a frame turned by ``angle`` radians."""
    c, s = angle.cos(), angle.sin()
    return c * x + s * y, c * y - s * x


def waves(dx: Tensor, dy: Tensor, most: int) -> list[tuple[Tensor, Tensor]]:
    """Return cosine and sine of 1 to ``most`` times the angle of ``(dx, dy)``, by recurrence: no angle is computed."""
    away = (dx.square() + dy.square()).add_(1e-9).sqrt_()
    c, s = dx / away, dy / away
    found = [(c, s)]
    for _ in range(most - 1):
        ck, sk = found[-1]
        found.append((ck * c - sk * s, sk * c + ck * s))
    return found


def ellipse(x: Tensor, y: Tensor, wide: float | Tensor, high: float | Tensor) -> Tensor:
    """Return about the distance to the edge of an ellipse about the origin, positive inside."""
    return (1 - ((x / wide).square() + (y / high).square() + 1e-9).sqrt()) * (0.5 * (wide + high))


def hazy(image: Tensor, cells: int) -> Tensor:
    """Return ``image [batch, size, size]`` without detail finer than ``cells`` along an edge."""
    small = F.adaptive_avg_pool2d(image[:, None], min(cells, image.shape[-1]))
    return F.interpolate(small, image.shape[-2:], mode="bicubic", align_corners=False)[:, 0]


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Return ``image [batch, size, size]`` blurred by a Gaussian of ``sigma`` in units of the plane."""
    pixels = sigma * image.shape[-1] / 2
    if pixels < 0.3:  # noqa: PLR2004 - a kernel this narrow is one pixel
        return image
    reach = math.ceil(2.5 * pixels)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1) / pixels).square())
    taps = taps / taps.sum()
    padded = F.pad(image[:, None], (reach,) * 4, mode="replicate")
    return F.conv2d(F.conv2d(padded, taps[None, None, None, :]), taps[None, None, :, None])[:, 0]


def stamp(
    centres: Tensor,
    size: int,
    reach: float,
    profile: Callable[[Tensor, Tensor], Tensor],
    reduce: Literal["amax", "sum"] = "amax",
) -> Tensor:
    """Draw many small things, each only in its own window, and return ``[batch, size, size]``.

    Args:
        centres: x and y of each thing, ``[batch, thing, 2]``.
        size: Pixels along an edge.
        reach: Farthest that anything extends from its centre.
        profile: From offsets ``[batch, thing, 1, k]`` and ``[batch, thing, k, 1]`` to values of at least 0.
        reduce: What happens where things overlap.
    """
    batch, things = centres.shape[:2]
    half = min(math.ceil(reach * size / 2 + 0.5), size)
    near = ((centres + 1) * (size / 2) - 0.5).round().long().clamp(-half - 1, size + half)
    places = near[..., None] + torch.arange(-half, half + 1)
    offsets = (2 * places + 1) / size - 1 - centres[..., None]
    inside = (places >= 0) & (places < size)
    values = profile(offsets[:, :, 0, None, :], offsets[:, :, 1, :, None])
    values = values * (inside[:, :, 0, None, :] & inside[:, :, 1, :, None])
    places = places.clamp(0, size - 1)
    row = torch.arange(batch)[:, None, None, None] * size + places[:, :, 1, :, None]
    index = (row * size + places[:, :, 0, None, :]).expand_as(values)
    canvas = torch.zeros(batch * size * size)
    if things:
        canvas.scatter_reduce_(0, index.reshape(-1), values.reshape(-1), reduce)
    return canvas.reshape(batch, size, size)


@dataclass(frozen=True, kw_only=True)
class Discs:
    """Ellipses, each field ``[batch, thing]``; ``level`` 0 draws nothing."""

    x: Tensor
    """Centre."""
    y: Tensor
    """Centre."""
    radius: Tensor
    """Half of the width."""
    level: Tensor
    """Value inside."""
    aspect: Tensor | None = None
    """Height over width; 1 where absent."""
    angle: Tensor | None = None
    """Radians; 0 where absent."""

    def _local(self, dx: Tensor, dy: Tensor) -> tuple[Tensor, Tensor]:
        if self.angle is not None:
            dx, dy = turned(dx, dy, self.angle[..., None, None])
        return dx, dy if self.aspect is None else dy / self.aspect[..., None, None]

    def draw(self, size: int, *, soft: float = 0.0, reduce: Literal["amax", "sum"] = "amax") -> Tensor:
        """Return ``[batch, size, size]``; ``soft`` is the width of the edge as a fraction of the radius."""
        return self.shaped(size, lambda d, r: ramp(r - d, 2 / size + soft * r), reduce, 1 + soft)

    def shaped(
        self, size: int, profile: Callable[[Tensor, Tensor], Tensor], reduce: Literal["amax", "sum"], extent: float
    ) -> Tensor:
        """Return the discs with ``profile(distance, radius)`` as their value, seen up to ``extent`` radii away."""
        radius, thin = self.radius[..., None, None], (self.radius * size).clamp(max=1)
        level = (self.level * thin)[..., None, None]
        longest = self.radius if self.aspect is None else self.radius * self.aspect.clamp(min=1)
        reach = float(longest[self.level > 0].max()) * extent + 1 / size if bool((self.level > 0).any()) else 0.0

        def value(dx: Tensor, dy: Tensor) -> Tensor:
            lx, ly = self._local(dx, dy)
            return level * profile((lx.square() + ly.square()).sqrt(), radius)

        return stamp(torch.stack([self.x, self.y], -1), size, reach, value, reduce)


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Tapered curves: points ``[batch, path, step, 2]``, radii and values ``[batch, path, step]``."""

    points: Tensor
    """x and y."""
    radius: Tensor
    """Half of the thickness; 0 draws nothing."""
    heading: Tensor
    """Direction at every point, radians."""

    def only(self, chosen: Tensor) -> "Paths":
        """Return the paths that are ``chosen [path]``."""
        return Paths(points=self.points[:, chosen], radius=self.radius[:, chosen], heading=self.heading[:, chosen])

    def draw(self, size: int, level: Tensor | None = None) -> Tensor:
        """Return coverage times ``level [batch, path]`` (1 where absent), the largest where paths cross."""
        a, b = self.points[:, :, :-1].flatten(1, 2), self.points[:, :, 1:].flatten(1, 2)
        ra, rb = self.radius[:, :, :-1].flatten(1, 2), self.radius[:, :, 1:].flatten(1, 2)
        steps = self.points.shape[2] - 1
        weight = torch.ones_like(ra) if level is None else level.repeat_interleave(steps, 1)
        mean, slope = ((ra + rb) / 2)[..., None, None], ((rb - ra) / 2)[..., None, None]
        hx, hy = ((b - a) / 2)[..., None, None].unbind(2)
        long = (hx.square() + hy.square()).clamp(min=1e-12)
        # What is thinner than a pixel covers a part of it.
        weight = (weight * (ra > 0))[..., None, None] * (mean * size).clamp(max=1)

        def value(dx: Tensor, dy: Tensor) -> Tensor:
            t = (dx * (hx / long) + dy * (hy / long)).clamp_(-1, 1)
            away = (dx - t * hx).square_().add_((dy - t * hy).square_()).sqrt_()
            return (mean + t * slope).sub_(away).mul_(size / 2).add_(0.5).clamp_(0, 1).mul_(weight)

        reach = float((long.sqrt() + mean).max()) + 1 / size
        return stamp((a + b) / 2, size, reach, value)


def grow(  # noqa: PLR0913 - where paths begin, and how they go on
    start: Tensor, heading: Tensor, radius: Tensor, turn: Tensor, stride: Tensor, *, taper: float = 0.5
) -> Paths:
    """Grow paths from ``start [batch, path, 2]``, turning by ``turn`` radians and moving by ``stride`` at every step.

    ``turn`` and ``stride`` are ``[batch, path, step]``; the radius falls to ``taper`` of itself at the tip.
    """
    direction = heading[..., None] + turn.cumsum(-1)
    moves = torch.stack([direction.cos(), direction.sin()], -1) * stride[..., None]
    points = torch.cat([start[:, :, None], start[:, :, None] + moves.cumsum(2)], 2)
    fade = torch.linspace(1, taper, turn.shape[-1] + 1)
    return Paths(points=points, radius=radius[..., None] * fade, heading=torch.cat([heading[..., None], direction], -1))


def branch(parent: Paths, where: Tensor, angle: Tensor, turn: Tensor, stride: Tensor) -> Paths:
    """Grow children from steps ``where [batch, parent, child]`` of their parents, leaving at ``angle`` radians."""
    start = parent.points.gather(2, where[..., None].expand(-1, -1, -1, 2)).flatten(1, 2)
    heading = (parent.heading.gather(2, where) + angle).flatten(1, 2)
    radius = (0.65 * parent.radius.gather(2, where)).flatten(1, 2)
    return grow(start, heading, radius, turn, stride)
