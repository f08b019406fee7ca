"""What minimum-norm attacks share: the smallest perturbation that reached the goal, kept for each image."""

import math

import torch

from aseptic.attacks.base import Batch, Counted
from aseptic.core.types import Flags, Images, Logits, Number, PerImage, Rows
from aseptic.ops.images import per_image

ROUNDOFF = 1e-5
"""Margin, as a share of the largest logit (or of 1), that an image must exceed: another pass may round differently."""


def rounding(logits: Logits) -> PerImage:
    """Return the margin, in logits, that is told from 0 in spite of rounding."""
    return ROUNDOFF * torch.where(logits.isfinite(), logits.abs(), 0).flatten(1).amax(1).clamp(min=1)


class Nearest:
    """For each image of a batch, the nearest version of it that reached the goal.

    Where none has, the version that came closest to the goal is kept instead. The budget gives the norm; its radius
    plays no part in the search, only in what is returned.
    """

    def __init__(self, batch: Batch, confidence: Number = 0.0) -> None:
        """Start with nothing found; ``confidence`` is the margin, in logits, that counts as reached."""
        self.images, self.targets, self.threat, self.confidence = batch.images, batch.targets, batch.threat, confidence
        self.best = self.images.clone()
        self.distance = torch.full((len(self.images),), torch.inf, device=self.images.device)
        self.margin = torch.full_like(self.distance, -torch.inf)

    def look(self, model: Counted, rows: Rows, found: Images, logits: Logits) -> tuple[Flags, PerImage]:
        """Keep what is nearer than before; return which images reach the goal now, and the margins.

        Args:
            model: Whose task it is; not asked.
            rows: Which image of the batch each of ``found`` is a version of, without repetition.
            found: Versions of the images.
            logits: The model's answers to them.
        """
        margin = self.threat.goal.margin(model.task, logits, self.targets[rows])
        reached = margin > self.confidence + rounding(logits)
        size = self.threat.budget.size(found - self.images[rows])
        closer = reached & (size < self.distance[rows])
        kept = closer | (self.distance[rows].isinf() & ~reached & (margin > self.margin[rows]))
        self.best[rows[kept]] = found[kept]
        self.margin[rows] = torch.where(kept, margin, self.margin[rows])
        self.distance[rows] = torch.where(closer, size, self.distance[rows])
        return reached, margin

    def begin(self, model: Counted) -> Rows:
        """Look at the images as they are, and return those that do not reach the goal yet."""
        rows = torch.arange(len(self.images), device=self.images.device)
        with torch.no_grad():
            reached, _ = self.look(model, rows, self.images, model(self.images.clone()))
        return rows[~reached]

    def result(self) -> Images:
        """Return the nearest versions; those outside the budget are brought to the nearest point inside it."""
        budget, delta = self.threat.budget, self.best - self.images
        inside = (self.images + budget.project(delta)).clamp_(0, 1)
        return torch.where(per_image(budget.size(delta) > budget.radius, self.best), inside, self.best)


def cosine(first: Number, last: Number, step: int, steps: int) -> float:
    """Return the value at ``step`` of ``steps`` on half a cosine from ``first`` to ``last``."""
    return last + (first - last) * (1 + math.cos(math.pi * step / steps)) / 2


def longest(images: Images) -> Images:
    """Return the longest perturbation that [0, 1] allows: every value to its farther bound."""
    return torch.maximum(images, 1 - images)
