"""What triggers might look like: five kinds of changes of clean images, each image its own."""

import torch
from torch import Tensor

from aseptic.core.types import Image, Images
from aseptic.triggers.patch import Patch

KINDS = 5
BLOCK = (0.02, 0.2)
"""Least and largest side of a block, as a share of the shortest axis."""
NOISE = (0.01, 0.08)
"""Least and largest standard deviation of noise, in image units."""
SHADOW = (0.4, 0.9)
"""Least and largest share of the light that a shadow lets through."""
GHOST = (0.05, 0.3)
"""Least and largest share of another picture."""


def perturbed(images: Images, others: Images, rng: list[torch.Generator]) -> Images:
    """Return copies, each with a white block, a coloured block, noise, a shadow or the ghost of another picture.

    Paper: Zeng et al. (2021), https://arxiv.org/abs/2104.03413, section 4.1, which names these five.

    Args:
        images: Clean images.
        others: As many images that shine through where the kind asks for it.
        rng: One CPU stream for each image.
    """
    made = [_perturbed(image, other, own) for image, other, own in zip(images, others, rng, strict=True)]
    return torch.stack(made) if made else images.clone()


def _perturbed(image: Image, other: Image, rng: torch.Generator) -> Image:
    kind = int(torch.randint(KINDS, (), generator=rng))
    if kind < 2:  # noqa: PLR2004 - blocks
        value = (1.0,) * len(image) if kind == 0 else tuple(torch.rand(len(image), generator=rng).tolist())
        size = max(1, round(_between(BLOCK, rng) * min(image.shape[1:])))
        return Patch(size=min(size, *image.shape[1:]), value=value, place="random").apply(image[None], [rng])[0]
    if kind == 2:  # noqa: PLR2004 - noise
        noise = torch.randn(image.shape, generator=rng).to(image)
        return (image + _between(NOISE, rng) * noise).clamp(0, 1)
    if kind == 3:  # noqa: PLR2004 - a shadow
        return image * _shade(image, rng)
    return torch.lerp(image, other, _between(GHOST, rng))


def _shade(image: Image, rng: torch.Generator) -> Tensor:
    """Return the light that falls on each place: less on one side of a random line or plane, with a soft edge."""
    axes = [torch.linspace(-1, 1, length) for length in image.shape[1:]]
    direction = torch.randn(len(axes), generator=rng)
    direction = direction / direction.norm().clamp(min=1e-6)
    grid = torch.stack(torch.meshgrid(*axes, indexing="ij"), -1) @ direction
    edge, soft = _between((-0.5, 0.5), rng), _between((2.0, 20.0), rng)
    return (1 - (1 - _between(SHADOW, rng)) * torch.sigmoid(soft * (grid - edge))).to(image)


def _between(ends: tuple[float, float], rng: torch.Generator) -> float:
    return ends[0] + (ends[1] - ends[0]) * float(torch.rand((), generator=rng))
