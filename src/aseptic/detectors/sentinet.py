"""SentiNet as a detector: a region that an explanation points at, and that convinces on other images too."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, PerImage
from aseptic.data.imageset import ImageSet
from aseptic.detectors.base import Detector, State, stacked
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.explain.finder import TriggerFinder
from aseptic.models.subject import Subject


@dataclass(frozen=True, kw_only=True)
class SentiNet(Detector):
    """The score of `aseptic.explain.finder.TriggerFinder`: how many carriers a small region of the image convinces.

    Paper: Chou, Tramer and Pellegrino (2020), https://arxiv.org/abs/1812.00292, section 3.
    Departs from it: as the finder does, whose page says how; a threshold instead of a fitted curve.
    Blind to: what the finder is blind to, triggers without a place above all. NaN where every carrier is decided as the
    image is anyway.
    """

    explainers: tuple[str, ...] = ("integrated-gradients",)
    """Where the decision rests; each proposes regions, and the most suspicious one counts."""
    shares: tuple[float, ...] = (0.001, 0.002, 0.004, 0.008, 0.016)
    """Sizes of the regions, as shares of the image, in (0, 1]; at least one pixel."""
    peaks: int = 1
    """Peaks of a map around which regions are grown."""
    smooth: int = 3
    """Side of the box, in pixels, that maps are averaged over before their peaks are looked for; odd."""
    carriers: int = 24
    """Clean images that regions are pasted into; kept with the detector."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.carriers < 1:
            raise InputError(f"carriers must be at least 1, got {self.carriers}")
        for name in self.explainers:
            EXPLAINERS.load(name)
        self.finder()

    def finder(self) -> TriggerFinder:
        """Return the finder with these settings."""
        return TriggerFinder(explainers=self.explainers, shares=self.shares, peaks=self.peaks, smooth=self.smooth)

    def learn(self, subject: Subject, clean: ImageSet, *, seed: int, batch_size: int) -> dict[str, Tensor]:
        """Draw the carriers."""
        del subject, batch_size
        return {"carriers": stacked(clean, self.carriers, seed=seed)}

    def suspicion(self, subject: Subject, state: State, images: Images, *, seed: int, batch_size: int) -> PerImage:
        """Return the finder's score; its noise is drawn anew from the same stream each time."""
        rng: torch.Generator = stream(seed, "sentinet")
        carriers = state["carriers"].to(images)
        return self.finder().find(subject, images, carriers, rng=rng, batch_size=batch_size).score.cpu()
