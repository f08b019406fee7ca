"""Shapes on a square that spans [-1, 1] both ways, y downwards: the same drawing at every size."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_FAR = 1e3
"""Offset of what lies outside the image: nothing is seen so far from its centre."""
_FEW = 1 << 16
"""Quarters of windows, pixels, below which sorting them by width costs more than it saves."""
_BLOCK = 1 << 18
"""Pixels of windows that are computed together: they should stay in the processor's cache."""


@cache
def plane(size: int) -> tuple[Tensor, Tensor]:
    """Return x ``[1, 1, size]`` and y ``[1, size, 1]`` of the pixel centres."""
    axis = (torch.arange(size) * 2 + 1).float() / size - 1
    return axis[None, None, :], axis[None, :, None]


def ramp(distance: Tensor, width: float | Tensor) -> Tensor:
    """Return 0 outside and 1 inside, rising smoothly over ``width`` about ``distance`` = 0."""
    t = (distance * (1 / width)).add_(0.5).clamp_(0, 1)
    squared = t.square()
    return t.mul_(-2).add_(3).mul_(squared)


def bump(distance: Tensor, width: float | Tensor) -> Tensor:
    """Return ``1 / (1 + (distance / width)^2)^2``: a soft hill that costs no exponential."""
    return (distance * (1 / width)).square_().add_(1).square_().reciprocal_()


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
    mean = 0.5 * (wide + high)
    across, down = (x * (mean / wide)).square_(), (y * (mean / high)).square_().add_(1e-10)
    return (across + down).sqrt_().neg_().add_(mean)


def hazy(image: Tensor, cells: int) -> Tensor:
    """Return ``image [batch, size, size]`` without detail finer than ``cells`` along an edge."""
    small = F.adaptive_avg_pool2d(image[:, None], min(cells, image.shape[-1]))
    return F.interpolate(small, image.shape[-2:], mode="bicubic", align_corners=False)[:, 0]


def blurred(image: Tensor, sigma: float) -> Tensor:
    """Return ``image [batch, size, size]`` blurred by a Gaussian of ``sigma`` in units of the plane."""
    size = image.shape[-1]
    if sigma * size / 2 < 0.3:  # noqa: PLR2004 - a kernel this narrow is one pixel
        return image
    weights = _gaussian(size, sigma).expand(len(image), -1, -1)
    return torch.bmm(torch.bmm(weights, image), weights.mT)


@cache
def _gaussian(size: int, sigma: float) -> Tensor:
    """Return the weight of each pixel along an edge in each blurred one, ``[size, size]``."""
    pixels = sigma * size / 2
    reach = math.ceil(2.5 * pixels)
    taps = torch.exp(-0.5 * (torch.arange(-reach, reach + 1).float() / pixels).square())
    padded = F.pad(torch.eye(size, dtype=torch.float32)[:, None], (reach, reach), mode="replicate")
    return F.conv1d(padded, (taps / taps.sum())[None, None])[:, 0].T.contiguous()


def stamp(
    canvas: Tensor,
    owner: Tensor,
    things: Tensor,
    reach: Tensor,
    profile: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> Tensor:
    """Draw many small things onto ``canvas [batch, size, size]``, each only in its own window, and return it.

    Where things overlap, the largest value holds.

    Args:
        canvas: What is drawn on, changed in place; contiguous.
        owner: Image of each thing, ``[thing]``.
        things: x, y, and whatever else the profile needs of each thing, ``[field, thing]``.
        reach: Farthest that each extends from its centre, ``[thing]``.
        profile: From offsets ``[1, k, thing]`` and ``[k, 1, thing]`` and the fields after x and y to values of at
            least 0, which vanish far away.
    """
    size, flat = canvas.shape[-1], canvas.view(-1)
    for half, chosen in _windows((reach * (size / 2) + 0.5).ceil().clamp(1, size)):
        fields = things[:, chosen]
        near = ((fields[:2] + 1) * (size / 2) - 0.5).round().clamp(-half - 1, size + half).long()
        places = near[:, None] + torch.arange(-half, half + 1)[:, None]
        offsets = (2 * places + 1) / size - 1 - fields[:2, None]
        offsets.masked_fill_((places < 0) | (places >= size), _FAR)
        places.clamp_(0, size - 1)
        # The things come last: every operation runs along them, not along the few pixels of a window.
        values = profile(offsets[0][None], offsets[1][:, None], fields[2:])
        rows = (places[1] + owner[chosen] * size).mul_(size)
        flat.scatter_reduce_(0, (rows[:, None] + places[0]).view(-1), values.view(-1), "amax")
    return canvas


def _windows(halves: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Yield groups of things whose windows are about as wide: half of the width, and which things."""
    limit = int(halves.max()) if len(halves) else 0
    together = len(halves) * limit * limit < _FEW
    while limit > 0:
        lower = 0 if together else limit * 2 // 3
        chosen = ((halves > lower) & (halves <= limit)).nonzero()[:, 0]
        for block in torch.split(chosen, max(1, _BLOCK // (2 * limit + 1) ** 2)) if len(chosen) else ():
            yield limit, block
        limit = lower


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

    def draw(self, size: int, *, soft: float = 0.0) -> Tensor:
        """Return ``[batch, size, size]``; ``soft`` is the width of the edge as a fraction of the radius."""
        return self.shaped(size, lambda d, r: ramp(r - d, 2 / size + soft * r), 1 + soft)

    def shaped(self, size: int, profile: Callable[[Tensor, Tensor], Tensor], extent: float) -> Tensor:
        """Return the discs with ``profile(distance, radius)`` as their value, seen up to ``extent`` radii away."""
        owner, place = (self.level > 0).nonzero(as_tuple=True)
        x, y, radius, level = (part[owner, place] for part in (self.x, self.y, self.radius, self.level))
        aspect = torch.ones_like(x) if self.aspect is None else self.aspect[owner, place]
        angle = torch.zeros_like(x) if self.angle is None else self.angle[owner, place]
        c, s, flat = angle.cos(), angle.sin(), aspect.square().reciprocal()
        # The squared distance is a quadratic form of the offsets.
        form = (c * c + s * s * flat, 2 * c * s * (1 - flat), s * s + c * c * flat)
        things = torch.stack([x, y, *form, radius, level * (radius * size).clamp(max=1)])

        def value(dx: Tensor, dy: Tensor, fields: Tensor) -> Tensor:
            xx, xy, yy, radius, level = fields
            squared = (dy.square() * yy) + dx * (xx * dx) + dx * (xy * dy)
            return profile(squared.clamp_(min=0).sqrt_(), radius).mul_(level)

        reach = radius * aspect.clamp(min=1) * extent + 1 / size
        return stamp(torch.zeros(len(self.x), size, size), owner, things, reach, value)


@dataclass(frozen=True, kw_only=True)
class Paths:
    """Tapered curves: points ``[batch, path, step, 2]``, radii and values ``[batch, path, step]``."""

    points: Tensor
    """x and y."""
    radius: Tensor
    """Half of the thickness; 0 draws nothing."""
    heading: Tensor
    """Direction at every point, radians."""

    def sparser(self, every: int) -> "Paths":
        """Return the paths with one step for each ``every``: at few pixels the eye cannot tell."""
        last = self.points.shape[2] - 1
        kept = torch.tensor([*range(0, last, every), last])
        return Paths(points=self.points[:, :, kept], radius=self.radius[:, :, kept], heading=self.heading[:, :, kept])

    def draw(self, size: int, level: Tensor | None = None) -> Tensor:
        """Return coverage times ``level [batch, path]`` (1 where absent), the largest where paths cross."""
        batch = len(self.points)
        return self.onto(torch.zeros(batch, size, size), torch.arange(batch)[:, None], level)

    def onto(self, canvas: Tensor, owner: Tensor, level: Tensor | None = None) -> Tensor:
        """Draw on the planes ``owner [batch, path]`` of a canvas, as ``draw`` does, and return the canvas."""
        size, radius = canvas.shape[-1], self.radius
        weight = torch.ones_like(radius) if level is None else level[..., None].expand_as(radius)
        seen = (radius[..., :-1] > 0).nonzero(as_tuple=True)
        after = (*seen[:2], seen[2] + 1)
        a, b, ra, rb = self.points[seen].T, self.points[after].T, radius[seen], radius[after]
        mean, slope, half = (ra + rb) / 2, (rb - ra) / 2, (b - a) / 2
        long = half.square().sum(0).clamp(min=1e-12)
        # What is thinner than a pixel covers a part of it.
        faint = weight[seen] * (mean * size).clamp(max=1)
        pixel = size / 2
        shape = torch.stack([mean * pixel + 0.5, slope * pixel, faint])
        things = torch.cat([(a + b) / 2, half * pixel, half / long, shape])

        def value(dx: Tensor, dy: Tensor, fields: Tensor) -> Tensor:
            hx, hy, along_x, along_y, mean, slope, faint = fields
            t = (dx * along_x + dy * along_y).clamp_(-1, 1)
            away = (dx * pixel - t * hx).square_().add_((dy * pixel - t * hy).square_()).sqrt_()
            cover: Tensor = t.mul_(slope).add_(mean).sub_(away)
            return cover.clamp_(0, 1).mul_(faint)

        planes = owner.expand(radius.shape[:2])[seen[:2]]
        return stamp(canvas, planes, things, long.sqrt() + torch.maximum(ra, rb) + 1 / size, value)


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
