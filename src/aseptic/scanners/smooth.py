"""Inversion of triggers without a place: the smallest smooth change of all images that leads them to an output."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.scanners.descent import Place
from aseptic.scanners.inversion import Inversion, Sizes, Stamped

BEGIN = 0.05
"""Standard deviation of the noise that a search begins with, before its high frequencies are taken away."""
TINY = 1e-12
"""Keeps the root of a mean square differentiable at 0."""
MIDDLE = 0.5
"""Grey that a change is shown on."""


@dataclass(frozen=True, kw_only=True)
class SmoothInversion(Inversion):
    r"""Add a smooth picture to every image: :math:`\Pi_{[0, 1]}(x + L d)`, with :math:`L d` of small root mean square.

    ``L`` keeps the frequencies up to ``beta`` times the shorter side, along every axis. Blended pictures, sinusoids and
    changes of the low spectrum (Blend, SIG, FIBA) cover the whole image, so that no mask is small; what they share is
    that they are smooth and the same for all images, or nearly so. Without the limit the smallest change would be an
    ordinary adversarial perturbation, which any undefended network has, and which is noise.

    Papers: the smooth triggers of Zeng et al. (2021), https://arxiv.org/abs/2104.03413, looked for instead of planted,
    in the window of Feng et al. (2022), https://arxiv.org/abs/2112.01148; pixels are changed directly, without a mask,
    as by Tao et al. (2022), doi:10.1109/CVPR52688.2022.01301, section 3; weights as in Wang et al. (2019).
    Departs from them: Zeng et al. train the network together with the trigger, here it is fixed; Tao et al. count the
    changed pixels and so look for few, here the change is measured in l2.
    Blind to: triggers of fine detail (small patches, noise); warps; spectra whose phase follows each image, but for the
    part that all images share; what `NeuralCleanse` says of classes, findings and changing triggers.
    """

    name: ClassVar[str] = "smooth-inversion"

    step: Number = 0.003
    """Adam's learning rate, in image units."""
    first_weight: Number = 1.0
    """First weight of the size."""
    beta: Number = 0.1
    """Largest frequency, as a share of the shorter side, in (0, 0.5]; 0.5 keeps all."""

    def __post_init__(self) -> None:
        """Check the domains."""
        super().__post_init__()
        if not 0 < self.beta <= 0.5:  # noqa: PLR2004 - half the sampling rate
            raise InputError(f"beta must lie in (0, 0.5], got {self.beta!r}")

    def begin(self, shape: tuple[int, ...], rng: torch.Generator) -> Place:
        """Return faint noise."""
        return (BEGIN * torch.randn(shape, generator=rng),)

    def stamp(self, place: Place, images: Stamped) -> Stamped:
        """Return the images with each search's picture added."""
        return (images + self._change(place)[:, None]).clamp(0, 1)

    def size(self, place: Place) -> Sizes:
        """Return the root mean square of each change."""
        return (self._change(place).flatten(1).square().mean(1) + TINY).sqrt()

    def show(self, place: Place) -> tuple[Float[Tensor, "search *space"], Float[Tensor, "search channel *space"]]:
        """Return the largest change over the channels, and the change on grey."""
        change = self._change(place)
        return change.abs().amax(1).clamp(max=1), (MIDDLE + change).clamp(0, 1)

    def _change(self, place: Place) -> Float[Tensor, "search channel *space"]:
        return low_pass(place[0], self.beta)


def low_pass(pictures: Images, beta: Number) -> Images:
    """Return the part of each picture whose frequencies are at most ``beta`` times the shorter side, on every axis."""
    space = tuple(pictures.shape[2:])
    axes, most = tuple(range(2, pictures.ndim)), int(beta * min(space))
    spectrum = torch.fft.rfftn(pictures, dim=axes)
    for axis, length in zip(axes, space, strict=True):
        last = axis == axes[-1]
        steps = length * (torch.fft.rfftfreq if last else torch.fft.fftfreq)(length)
        inside = (steps.abs().round() <= most).to(pictures)
        spectrum = spectrum * inside.reshape(-1, *(1,) * (axes[-1] - axis))
    found: Tensor = torch.fft.irfftn(spectrum, s=space, dim=axes)
    return found
