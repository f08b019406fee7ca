"""How much a set of logits knows about the targets, with its standard error: enough to compare two ways of feeding."""

import math
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float
from torch import Tensor

from aseptic.core.types import Logits, Targets
from aseptic.metrics.overlap import dice
from aseptic.metrics.ranking import auroc

MARGIN = 0.1
"""Smallest difference worth a word."""
SIGMAS = 3.0
"""Standard errors that a difference must exceed."""


@dataclass(frozen=True, kw_only=True)
class Skill:
    """A number in [0, 1] where higher is better; NaN where the targets cannot tell."""

    value: float
    """Balanced accuracy or AUROC."""
    error: float
    """Its standard error."""

    def beats(self, other: "Skill") -> bool:
        """Return whether it is larger by more than `MARGIN` and more than chance allows."""
        gain = self.value - other.value
        return gain > MARGIN and gain > SIGMAS * math.hypot(self.error, other.error)


def mean(skills: list[Skill]) -> Skill:
    """Return the mean; its error is that of fully dependent numbers, the largest that it can be."""
    known = [each for each in skills if not math.isnan(each.value)]
    if not known:
        return Skill(value=math.nan, error=math.nan)
    return Skill(
        value=sum(each.value for each in known) / len(known), error=sum(each.error for each in known) / len(known)
    )


def columns(targets: Targets, outputs: int) -> Float[np.ndarray, "batch output"]:
    """Return 0, 1 or NaN for every image and output."""
    if targets.ndim == 1:
        classes: Float[np.ndarray, "batch output"] = np.eye(outputs)[targets.cpu().numpy()]
        return classes
    found: Float[np.ndarray, "batch output"] = targets.cpu().double().numpy()
    return found


def ranking(scores: Tensor, positive: Float[np.ndarray, " batch"]) -> Skill:
    r"""Return the AUROC of one output, with the standard error of Hanley and McNeil (1982).

    :math:`(A(1-A) + (P-1)(Q_1-A^2) + (N-1)(Q_2-A^2)) / PN` with :math:`Q_1 = A/(2-A), Q_2 = 2A^2/(1+A)`; ``A`` is
    first moved off 0 and 1, where the formula would call one pair of images certain.
    """
    known = ~np.isnan(positive)
    found, wanted = scores.detach().cpu().double().numpy()[known], positive[known]
    above, below = int(wanted.sum()), int((1 - wanted).sum())
    if not above or not below:
        return Skill(value=math.nan, error=math.nan)
    area = auroc(found, wanted)
    edge = 1 / (2 * min(above, below) + 2)
    a = min(max(area, edge), 1 - edge)
    first, second = a / (2 - a), 2 * a * a / (1 + a)
    variance = (a * (1 - a) + (above - 1) * (first - a * a) + (below - 1) * (second - a * a)) / (above * below)
    return Skill(value=area, error=math.sqrt(max(variance, 0.0)))


def dice_skill(each: Tensor) -> Skill:
    """Return the mean Dice of images, NaN for those that have none; a single image has the largest error there is."""
    known = each[~each.isnan()].double()
    if not len(known):
        return Skill(value=math.nan, error=math.nan)
    error = float(known.std() / len(known) ** 0.5) if len(known) > 1 else 0.5
    return Skill(value=float(known.mean()), error=error)


def skill(logits: Logits, targets: Targets) -> Skill:
    """Return the balanced accuracy of class numbers, the mean AUROC of findings, or the mean Dice of masks."""
    if logits.ndim > 2:  # noqa: PLR2004 - a class for every place
        return dice_skill(dice(logits.argmax(1), targets, logits.shape[1])[:, 1:].nanmean(1))
    if targets.ndim > 1:
        wanted = columns(targets, logits.shape[1])
        return mean([ranking(logits[:, k], wanted[:, k]) for k in range(logits.shape[1])])
    right = (logits.argmax(1) == targets).cpu().numpy()
    classes = targets.cpu().numpy()
    rates, variances = [], []
    for k in np.unique(classes):
        hits, n = int(right[classes == k].sum()), int((classes == k).sum())
        rate = (hits + 1) / (n + 2)
        rates.append(hits / n)
        variances.append(rate * (1 - rate) / n)
    return Skill(value=float(np.mean(rates)), error=math.sqrt(sum(variances)) / len(rates))
