"""Nearest points inside [0, 1]: of an l1 ball around an image, and on a hyperplane."""

import torch
from torch import Tensor

from aseptic.core.types import Images, Number, PerImage
from aseptic.ops.images import per_image


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
    (Croce and Hein, 2020, https://arxiv.org/abs/1907.02044, section 2.2, which sorts; here that is done in l1 only).
    Where no legal image lies on the plane, everything moves to its bound, which is as close to it as a legal image
    comes.

    Args:
        images: Where to start, in [0, 1].
        normal: Normal ``w`` of each plane; values of weight 0 stay.
        value: Linear function ``v`` at each image, which is to become 0.
        norm: Norm that is smallest: ``linf``, ``l2`` or ``l1``.
    """
    sign = (normal * per_image(-value.sign(), normal)).sign_()
    weight, room, wanted = normal.flatten(1).abs(), _room(images, sign), value.abs()[:, None]
    if norm == "l1":
        size = _heaviest_first(weight.double(), room.double(), wanted.double()).to(images.dtype)
    else:
        size = _level(weight, room, wanted.to(weight), norm)
    return size.reshape(images.shape).mul_(sign)


def _room(images: Images, direction: Images) -> Tensor:
    """Return how far each value may move along the sign of the direction, flat."""
    bound = torch.gt(direction, 0, out=torch.empty_like(images))
    return bound.sub_(images).abs_().flatten(1)


def _level(weight: Tensor, room: Tensor, wanted: Tensor, norm: str) -> Tensor:
    """Return the moves of one common level ``t`` whose weighted sum is what is wanted.

    That sum is concave in ``t`` and made of straight pieces, so Newton's method climbs from 0, never too far, and is
    exact once it has met the right piece.

    Flags are numbers here: sums of products are several times faster than choices.
    """
    speed, full, rate = weight, room, weight
    if norm == "l2":
        unit = weight.amax(1, keepdim=True).clamp(min=torch.finfo(weight.dtype).tiny)
        weight, wanted = weight / unit, wanted / unit  # no square vanishes, whatever the scale
        speed, full, rate = weight, room / weight, weight * weight
    amount, flags = weight * room, torch.empty_like(weight)
    level = torch.zeros_like(wanted)
    while True:
        rest = torch.linalg.vecdot(rate, torch.gt(full, level, out=flags))[:, None]
        met = torch.linalg.vecdot(amount, torch.le(full, level, out=flags))[:, None]
        higher = torch.where(rest > 0, (wanted - met) / rest, torch.inf).clamp(max=torch.finfo(level.dtype).max)
        if not bool((higher > level).any()):
            return torch.minimum(room, level if norm == "linf" else level * speed)
        level = torch.maximum(level, higher)


def _heaviest_first(weight: Tensor, room: Tensor, wanted: Tensor) -> Tensor:
    """Return the moves in which the values of largest weight go to their bounds until what is wanted is reached."""
    amount, order = weight * room, weight.argsort(dim=1, descending=True, stable=True)
    gain = amount.gather(1, order)
    left = torch.empty_like(amount).scatter_(1, order, wanted - (gain.cumsum(1) - gain))
    moved = torch.minimum((left / weight.clamp(min=torch.finfo(weight.dtype).tiny)).clamp(min=0), room)
    return torch.where(weight > 0, moved, 0)
