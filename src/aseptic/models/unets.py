"""The U-Nets of MONAI, which answer for every place: what each is called with, and which images it can take."""

from collections.abc import Mapping, Sequence
from typing import Any

from aseptic.core.errors import InputError

DENSE: Mapping[str, str] = {"attentionunet": "AttentionUnet", "basicunet": "BasicUNet", "unet": "UNet"}
"""Name to the attribute of `monai.networks.nets`."""
WIDTH, DEPTH = 16, 4
"""Channels of the first level of a U-Net, and its levels, where the name does not say."""
BASIC = 16
"""Pixels that become one on the lowest level of a BasicUNet."""


def unet_options(name: str, options: Mapping[str, Any], size: Sequence[int] | None) -> tuple[str, Mapping[str, Any]]:
    """Return the class of a U-Net and what it is called with, but for channels, outputs and space axes.

    Args:
        name: One of `DENSE`.
        options: ``width`` (channels of the first level, which double from level to level), ``depth`` (levels),
            ``dropout``.
        size: Space axes that it is fed, where known.

    Raises:
        InputError: The network has no such option, or cannot take images of this size.
    """
    width, dropout = int(options.get("width", WIDTH)), float(options.get("dropout", 0.0))
    if name == "basicunet":
        if "depth" in options:
            raise InputError("option depth cannot be given to monai:basicunet, which has 5 levels")
        _deep_enough(name, size, BASIC)
        features = (width, *(width * 2**level for level in range(4)), width)
        return DENSE[name], {"features": features, "dropout": dropout}
    depth = int(options.get("depth", DEPTH))
    halvings = 2 ** (depth - 1)
    if size and any(pixels % halvings for pixels in size):
        raise InputError(
            f"size must be a multiple of {halvings} along each axis for monai:{name} with depth={depth}, "
            f"got {list(size)}"
        )
    _deep_enough(name, size, halvings)
    channels = tuple(width * 2**level for level in range(depth))
    residual = {"num_res_units": 2} if name == "unet" else {}
    return DENSE[name], {"channels": channels, "strides": (2,) * (depth - 1), "dropout": dropout, **residual}


def _deep_enough(name: str, size: Sequence[int] | None, halvings: int) -> None:
    """Raise `InputError` where the lowest level would be a single place, which cannot be normalised."""
    if size and max(size) // halvings < 2:  # noqa: PLR2004 - one place
        raise InputError(f"size must be at least {2 * halvings} along an axis for monai:{name}, got {list(size)}")
