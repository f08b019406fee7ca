"""Neural Cleanse (Wang et al., 2019): the smallest mask and pattern that lead every image to an output."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.scanners.descent import Place
from aseptic.scanners.inversion import Inversion, Sizes, Stamped

INSIDE = 0.999999
"""Beginnings are drawn this far towards the middle, so that 0 and 1 have a finite tanh coordinate."""


@dataclass(frozen=True, kw_only=True)
class NeuralCleanse(Inversion):
    r"""Replace a part of every image: :math:`(1 - m) x + m p`, a mask :math:`m` of small mean and a pattern :math:`p`.

    Both are kept in [0, 1] as :math:`(\tanh w + 1) / 2`. The mask is shared by the channels; its size is its mean, the
    share of the image that it covers.

    Paper: Wang et al. (2019), doi:10.1109/SP.2019.00031, section IV; schedule and settings of its released code.
    Departs from it: all outputs in one batch; images that are decided as the output already are not shown; 32 images in
    steps of 8 instead of 1000 in steps of 32, and at most 100 rounds instead of 1000; the size is the mean of the mask
    instead of its sum, and its first weight 1 (0.001 for each pixel of 32 x 32); a trigger is measured on all images
    before it is kept, while the code keeps one for the success that it had on its way there; models of findings, one
    finding at a time; the anomaly index is reported, the verdict comes from clean twins.
    Blind to: triggers without a place (blended, warped, in the frequencies) and large ones, which no small mask holds;
    triggers that work on images of some classes only; backdoors that take findings away; triggers whose place or form
    differs from image to image.
    """

    name: ClassVar[str] = "neural-cleanse"

    def begin(self, shape: tuple[int, ...], rng: torch.Generator) -> Place:
        """Return a mask and a pattern drawn uniformly from [0, 1], in their tanh coordinates."""
        drawn = torch.rand((1, *shape[1:]), generator=rng), torch.rand(shape, generator=rng)
        return tuple(torch.atanh((2 * one - 1) * INSIDE) for one in drawn)

    def stamp(self, place: Place, images: Stamped) -> Stamped:
        """Return the images with each search's pattern where its mask is."""
        mask, pattern = (_unit(one)[:, None] for one in place)
        return torch.lerp(images, pattern, mask)

    def size(self, place: Place) -> Sizes:
        """Return the mean of each mask."""
        return _unit(place[0]).flatten(1).mean(1)

    def show(self, place: Place) -> tuple[Float[Tensor, "search *space"], Float[Tensor, "search channel *space"]]:
        """Return the masks and the patterns, as they were optimised: nothing is rounded or stretched."""
        mask, pattern = map(_unit, place)
        return mask[:, 0], pattern


def _unit(coordinate: Tensor) -> Tensor:
    return (coordinate.tanh() + 1) / 2
