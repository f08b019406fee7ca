"""Channels and size of images: the one way they are changed, for readers and for models alike."""

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import InputError, nearest
from aseptic.core.types import Flags, Images, Rows

LUMA = (0.299, 0.587, 0.114)
"""ITU-R BT.601 weights of red, green and blue."""
SAMPLINGS = ("antialias", "bilinear", "nearest", "nearest-legacy")
"""Ways to another size. All but the last take pixel ``i`` of ``n`` to lie at ``(i + 0.5) / n``; the last, at ``i / n``,
as TensorFlow 1 and OpenCV do for the nearest pixel."""


def adapt_channels(images: Images, channels: int) -> Float[Tensor, "batch fed *space"]:
    """Return the images with ``channels`` channels: grey is repeated, colour becomes luma.

    Raises:
        InputError: There is no agreed way from the one count to the other.
    """
    found = images.shape[1]
    if found == channels:
        return images
    if found == 1:
        return images.expand(-1, channels, *images.shape[2:])
    if (found, channels) == (3, 1):
        weights = torch.tensor(LUMA).to(images).reshape(1, 3, *(1,) * (images.ndim - 2))
        return (images * weights).sum(1, keepdim=True)
    raise InputError(f"images must have 1 or {channels} channels, got {found}")


def resize(
    images: Images, size: tuple[int, ...], sampling: str = "antialias"
) -> Float[Tensor, "batch channel *resized"]:
    """Return the images at ``size``, differentiably.

    Args:
        images: Images.
        size: Pixels along each space axis.
        sampling: ``antialias``: bilinear, averaging what shrinks (volumes: trilinear, without); ``bilinear``: between
            the nearest pixels, as OpenCV's default; ``nearest``: the nearest pixel, as TensorFlow 2 and Pillow;
            ``nearest-legacy``: the one at ``floor(i * old / new)``, as TensorFlow 1 and OpenCV.

    Raises:
        InputError: The number of space axes differs, or the sampling is unknown.
    """
    check_sampling(sampling)
    space = tuple(images.shape[2:])
    if len(space) != len(size):
        cut = "; volumes can be cut into slices" if len(space) > len(size) else ""
        raise InputError(f"size must have {len(space)} space axes as the images have, got {list(size)}{cut}")
    if space == size:
        return images
    if sampling.startswith("nearest"):
        return F.interpolate(images, size=size, mode="nearest-exact" if sampling == "nearest" else "nearest")
    if len(size) == 2:  # noqa: PLR2004 - two space axes
        smooth = sampling == "antialias"
        return F.interpolate(images, size=size, mode="bilinear", antialias=smooth, align_corners=False)
    return F.interpolate(images, size=size, mode="trilinear", align_corners=False)


def check_sampling(name: str) -> None:
    """Refuse what is no way to another size.

    Raises:
        InputError: It is none.
    """
    if name not in SAMPLINGS:
        raise InputError(f"sampling must be one of {', '.join(SAMPLINGS)}; got {name!r}{nearest(name, SAMPLINGS)}")


def take(into: Tensor, flags: Flags, found: Images, rows: Rows | None = None) -> None:
    """Copy the images that are flagged into others, in place.

    Args:
        into: What is written to.
        flags: Which of ``found`` are copied.
        found: Where from.
        rows: Which of ``into`` each of ``found`` belongs to; the same places if absent.
    """
    if flags.device.type == "cpu":
        where = flags.nonzero()[:, 0]
        into[where if rows is None else rows[where]] = found[where]
    elif rows is None:  # nothing that an accelerator would have to tell the host
        torch.where(per_image(flags, into), found, into, out=into)
    else:
        into[rows] = torch.where(per_image(flags, found), found, into[rows])


def per_image(values: Tensor, images: Images) -> Tensor:
    """Return one value for each image in a shape that meets their pixels."""
    return values.reshape(-1, *(1,) * (images.ndim - 1))
