"""Proximal points: what a change becomes when its size is weighed against staying where it is."""

import torch

from aseptic.core.types import Images, PerImage


def shrink_linf(delta: Images, images: Images, metric: Images, weight: PerImage) -> Images:
    r"""Return the proximal point of the linf norm inside [0, 1], in a diagonal metric.

    :math:`\arg\min_z w \lVert z \rVert_\infty + \frac{1}{2} \sum_i h_i (z_i - \delta_i)^2` with
    :math:`0 \le x + z \le 1`, exactly: it clips at a size that one sort finds. Sums in double precision.

    Args:
        delta: Where to stay, ``δ``.
        images: Images ``x`` in [0, 1] that the change is added to.
        metric: Positive cost ``h`` of moving each value.
        weight: Weight ``w`` of the norm.
    """
    flat, cost = delta.flatten(1).double(), metric.flatten(1).double()
    room = torch.where(flat > 0, 1 - images.flatten(1), images.flatten(1)).double()
    tops, order = torch.minimum(flat.abs(), room).sort(dim=1, descending=True)
    rate, pull = (part.gather(1, order).cumsum(1) for part in (cost, cost * flat.abs()))
    below = torch.nn.functional.pad(tops[:, 1:], (0, 1))  # the next size at which another value joins
    enough = pull - rate * below >= weight.double()[:, None]  # with these values alone the clip lies above it
    count = torch.where(enough.any(1), enough.to(torch.uint8).argmax(1), flat.shape[1] - 1)[:, None]
    size = ((pull.gather(1, count) - weight.double()[:, None]) / rate.gather(1, count)).clamp(min=0)
    size = torch.minimum(size, tops.gather(1, count))
    return torch.minimum(torch.minimum(flat.abs(), room), size).copysign(flat).to(delta).reshape(delta.shape)
