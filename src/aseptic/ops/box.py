"""Nearest points inside [0, 1]: of an l1 ball around an image, and on a hyperplane."""

import torch
from torch import Tensor

from aseptic.core.types import Images, Number, PerImage


def onto_l1_in_box(images: Images, delta: Images, radius: Number) -> Images:
    r"""Return the perturbation nearest to ``delta`` (Euclidean) with norm at most ``radius`` and ``images + it`` legal.

    It is :math:`\mathrm{sign}(\delta_i) \min(\max(|\delta_i| - \lambda, 0), c_i)` with the room :math:`c_i` up to the
    bound; :math:`\lambda` follows from sorting the points where a value reaches its bound or vanishes
    (Croce and Hein, 2021, https://arxiv.org/abs/2103.01208, proposition 2.1). Sums in double precision.

    Args:
        images: Centres of the balls, in [0, 1].
        delta: What is projected.
        radius: Largest l1 norm.
    """
    flat, room = delta.flatten(1), _room(images, delta).double()
    sizes = flat.abs().double()
    bound = (sizes - room).clamp(min=0)
    at_zero = torch.minimum(sizes, room).sum(1)
    breaks, order = torch.cat([bound, sizes], 1).sort(1)
    slopes = torch.where(order < flat.shape[1], -1.0, 1.0).to(sizes).cumsum(1)
    steps = torch.diff(breaks, dim=1) * slopes[:, :-1]
    norms = torch.cat([at_zero[:, None], at_zero[:, None] + steps.cumsum(1)], 1)
    last = (norms >= radius).sum(1, keepdim=True).clamp(min=1) - 1
    slope = -slopes.gather(1, last).clamp(max=-1)
    threshold = (breaks.gather(1, last) + (norms.gather(1, last) - radius) / slope).clamp(min=0)
    threshold = torch.where(at_zero[:, None] > radius, threshold, 0)
    left = torch.minimum((sizes - threshold).clamp(min=0), room)
    return left.to(delta.dtype).copysign(flat).reshape(delta.shape)


def to_plane_in_box(images: Images, normal: Images, value: PerImage, norm: str) -> Images:
    r"""Return the smallest change :math:`\delta` with :math:`\langle w, \delta\rangle = -v` that stays in [0, 1].

    Every value moves the same way along :math:`-\mathrm{sign}(v) w` up to its bound :math:`c_i`: by
    :math:`\min(c_i, t)` in linf, by :math:`\min(c_i, t |w_i|)` in l2, and in l1 those with the largest weight go first
    (Croce and Hein, 2020, https://arxiv.org/abs/1907.02044, section 2.2). One sort; sums in double precision. Where no
    legal image lies on the plane, everything moves to its bound, which is as close to it as a legal image comes.

    Args:
        images: Where to start, in [0, 1].
        normal: Normal ``w`` of each plane; values of weight 0 stay.
        value: Linear function ``v`` at each image, which is to become 0.
        norm: Norm that is smallest: ``linf``, ``l2`` or ``l1``.
    """
    sign = -normal.sign() * value.sign().reshape(-1, *(1,) * (images.ndim - 1))
    room = _room(images, sign).double()
    weight, wanted = normal.flatten(1).abs().double(), value.abs().double()[:, None]
    amount = weight * room
    size = _heaviest_first(weight, room, amount, wanted) if norm == "l1" else _level(weight, room, amount, wanted, norm)
    return size.to(images.dtype).reshape(images.shape) * sign


def _room(images: Images, direction: Images) -> Tensor:
    """Return how far each value may move along the sign of the direction, flat."""
    return torch.where(direction > 0, 1 - images, images).flatten(1)


def _level(weight: Tensor, room: Tensor, amount: Tensor, wanted: Tensor, norm: str) -> Tensor:
    """Return the moves of one common level ``t`` whose weighted sum is what is wanted."""
    speed = torch.ones_like(weight) if norm == "linf" else weight
    full = torch.where(weight > 0, room / speed, 0)  # level at which a value meets its bound
    breaks, order = full.sort(1)
    rate, gain = (part.gather(1, order) for part in (weight * speed, amount))
    before = gain.cumsum(1) - gain
    rest = rate.flip(1).cumsum(1).flip(1)  # of this value and those after it
    place = (before + breaks * rest < wanted).sum(1, keepdim=True)
    inside = place < weight.shape[1]
    place = place.clamp(max=weight.shape[1] - 1)
    level = (wanted - before.gather(1, place)) / rest.gather(1, place).clamp(min=torch.finfo(rest.dtype).tiny)
    moved = torch.minimum(room, torch.where(inside, level, torch.inf) * speed)
    return torch.where(weight > 0, moved, 0)


def _heaviest_first(weight: Tensor, room: Tensor, amount: Tensor, wanted: Tensor) -> Tensor:
    """Return the moves in which the values of largest weight go to their bounds until what is wanted is reached."""
    order = weight.argsort(dim=1, descending=True, stable=True)
    gain = amount.gather(1, order)
    left = torch.empty_like(amount).scatter_(1, order, wanted - (gain.cumsum(1) - gain))
    moved = torch.minimum((left / weight.clamp(min=torch.finfo(weight.dtype).tiny)).clamp(min=0), room)
    return torch.where(weight > 0, moved, 0)
