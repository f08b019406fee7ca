"""STRIP: what carries a trigger is decided alike, whatever shines through it (Gao et al., 2019)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage
from aseptic.data.imageset import ImageSet
from aseptic.detectors.base import Detector, State, stacked
from aseptic.models.subject import Subject
from aseptic.tasks.base import Task


@dataclass(frozen=True, kw_only=True)
class STRIP(Detector):
    r"""Blend each image with clean ones, and score how sure the decisions stay: :math:`1 - \overline{H} / H_{max}`.

    :math:`\overline{H}` is the mean entropy of the network's probabilities for the blends
    :math:`(1 - \alpha)\, x + \alpha\, o`, over all overlays ``o``: of classes :math:`-\sum_k p_k \log p_k`, at most
    :math:`\log K`; of findings the sum of the binary entropies, at most :math:`K \log 2`. The score lies in [0, 1]. A
    clean image becomes undecidable, one with a strong trigger does not.

    Paper: https://arxiv.org/abs/1902.06531, section IV.
    Departs from it: blended inside [0, 1] instead of added, which leaves the range of images; the same overlays for
    every image, so that a score belongs to the image, and fewer of them; the form for findings is this project's.
    Blind to: triggers that do not survive the blending (faint or spread over the image, in the frequencies); those
    that work in one class only; of findings, triggers whose target is one among many that stay undecided; networks
    that are sure of everything.
    """

    overlays: int = 32
    """Clean images that each image is blended with; kept with the detector."""
    alpha: Number = 0.5
    """Share of the overlay, in (0, 1)."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.overlays < 1:
            raise InputError(f"overlays must be at least 1, got {self.overlays}")
        if not 0 < self.alpha < 1:
            raise InputError(f"alpha must lie in (0, 1), got {self.alpha:g}")

    def learn(self, subject: Subject, clean: ImageSet, *, seed: int, batch_size: int) -> dict[str, Tensor]:
        """Draw the overlays."""
        del subject, batch_size
        return {"overlays": stacked(clean, self.overlays, seed=seed)}

    def suspicion(self, subject: Subject, state: State, images: Images, *, seed: int, batch_size: int) -> PerImage:
        """Return how sure the model stays of every image, ``overlays`` times as many images in one pass."""
        del seed
        overlays = state["overlays"].to(images)
        found = []
        for part in torch.split(images, max(1, batch_size // len(overlays))):
            blends = torch.lerp(part[:, None], overlays[None], self.alpha).flatten(0, 1)
            each = entropy(subject.task, subject(blends)).reshape(len(part), len(overlays))
            found.append(1 - each.mean(1))
        return torch.cat(found).cpu()


def entropy(task: Task, logits: Logits) -> PerImage:
    """Return the entropy of each image's probabilities over the outputs, as a share of the largest that it can be."""
    scores = task.scores(logits)
    each: Tensor = torch.special.entr(scores)
    if task.name == "multilabel":
        each = each + torch.special.entr(1 - scores)
        return each.sum(1) / (scores.shape[1] * math.log(2))
    return each.sum(1) / math.log(scores.shape[1])
