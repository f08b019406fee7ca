"""Boundary (Brendel et al., 2018): a random walk along the boundary, towards the image."""

import math
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from aseptic.attacks.asking import Questions, check_queries
from aseptic.attacks.base import Batch, Counted, EvasionAttack, within
from aseptic.attacks.deciding import bisect, bring_back, check_tries, starting_points
from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, Number, PerImage, Rows
from aseptic.ops.balls import Ball
from aseptic.ops.draws import normals
from aseptic.ops.images import per_image

TOLERANCE = 2.0**-10
"""Share of the way to which the first point is brought back towards the image."""
ASIDE_EVERY = 5
"""Steps between two questions about the move aside alone."""
WINDOW = 10
"""Answers after which a step length is adapted."""
ASIDE_RATES, TOWARD_RATES = (0.2, 0.5), (0.1, 0.25)
"""Shares of successes below which the lengths shrink, and above which they grow."""
CONVERGED = 1e-7
"""Step towards the image, relative to the distance, below which an image is left alone."""
L2 = Ball("l2", 0)


@dataclass(frozen=True, kw_only=True)
class Boundary(EvasionAttack):
    r"""Move aside on the sphere around the image, then towards it; stay where the goal is still reached.

    Paper: https://arxiv.org/abs/1712.04248, algorithm 1 and section 2.
    Departs from it: the start is noise of many widths, brought back by bisection; lengths are adapted for each image
    on its last ten answers; the result is brought into the budget.
    Blind to: goals that noise does not reach (a rare class): those images are returned as they were.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "decisions"
    norms: ClassVar[tuple[str, ...]] = ("l2",)

    queries: int = 25_000
    """Most questions about one image."""
    aside: Number = 0.1
    """First length of the move aside, as a fraction of the distance to the image."""
    toward: Number = 0.05
    """First length of the step towards the image, as a fraction of the distance to it."""
    adaptation: Number = 1.5
    """Factor by which the lengths grow and shrink."""
    tries: int = 100
    """Most points of noise in search of a start."""
    stop: bool = False
    """Spend nothing more on an image whose point lies inside the budget, instead of coming nearer still."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_queries(self.queries)
        check_tries(self.tries)
        for name in ("aside", "toward"):
            if not 0 < getattr(self, name) < 1:
                raise InputError(f"{name} must be a fraction in (0, 1) of the distance, got {getattr(self, name)!r}")
        if not (math.isfinite(self.adaptation) and self.adaptation > 1):
            raise InputError(f"adaptation must be a factor above 1, got {self.adaptation!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the nearest point seen to reach the goal, brought into the budget."""
        images, budget, questions = batch.images, batch.threat.budget, Questions(model, batch, self.queries)
        found, has = starting_points(questions, batch, self.tries)
        result = found.clone()
        rows = (has & (L2.size(found - images) > 0)).nonzero()[:, 0]
        clean = images[rows]
        found = bisect(questions, "l2", clean, found[rows], rows=rows, tolerance=TOLERANCE)
        aside = _Length(torch.full_like(found.flatten(1)[:, 0], self.aside), ASIDE_RATES)
        toward = _Length(torch.full_like(aside.value, self.toward), TOWARD_RATES)
        for step in range(self.queries):
            on = (questions.left(rows) > 0) & (toward.value > CONVERGED) & (L2.size(found - clean) > 0)
            if self.stop:
                on &= ~within(budget, found - clean)
            if not bool(on.all()):
                result[rows] = found
                rows, clean, found = rows[on], clean[on], found[on]
                aside, toward = aside.at(on), toward.at(on)
            if len(rows) == 0:
                break
            shifted = _aside(clean, found, aside.value, normals(batch.streams(rows), clean[0].shape, clean))
            nearer = _toward(clean, found, shifted, toward.value)
            if step % ASIDE_EVERY == 0:
                asked = (questions.left(rows) > 1).nonzero()[:, 0]
                grown = aside.learn(asked, questions.reached(shifted[asked], rows[asked]), self.adaptation)
                toward.value = toward.value * grown
            fell = questions.reached(nearer, rows)
            toward.learn(torch.arange(len(rows), device=rows.device), fell, self.adaptation)
            better = fell & (L2.size(nearer - clean) < L2.size(found - clean))
            found = torch.where(per_image(better, clean), nearer, found)
        result[rows] = found
        return bring_back(budget, images, result)


class _Length:
    """A step length for each image, and the answers that it is adapted to."""

    def __init__(self, value: PerImage, rates: tuple[float, float]) -> None:
        self.value, self.rates = value, rates
        self.asked, self.fell = torch.zeros_like(value), torch.zeros_like(value)

    def at(self, on: Flags) -> "_Length":
        kept = _Length(self.value[on], self.rates)
        kept.asked, kept.fell = self.asked[on], self.fell[on]
        return kept

    def learn(self, rows: Rows, fell: Tensor, adaptation: Number) -> PerImage:
        """Count answers; after enough of them adapt the length, and return the factors."""
        self.asked[rows] += 1
        self.fell[rows] += fell.to(self.fell)
        full, rate = self.asked >= WINDOW, self.fell / self.asked.clamp(min=1)
        factor = torch.ones_like(self.value)
        factor[full & (rate > self.rates[1])] = adaptation
        factor[full & (rate < self.rates[0])] = 1 / adaptation
        self.value = self.value * factor
        self.asked[full], self.fell[full] = 0, 0
        return factor


def _aside(images: Images, found: Images, length: PerImage, drawn: Images) -> Images:
    """Return points as far from the images as before, moved along the sphere."""
    delta = found - images
    away = L2.steepest(delta)
    drawn = drawn - away * per_image((drawn * away).flatten(1).sum(1), images)
    moved = delta + L2.steepest(drawn) * per_image(length * L2.size(delta), images)
    return (images + moved / per_image((1 + length.square()).sqrt(), images)).clamp(0, 1)


def _toward(images: Images, found: Images, shifted: Images, length: PerImage) -> Images:
    """Return the shifted points, nearer to the images than what was found by this fraction of the distance."""
    delta = shifted - images
    wanted = (1 - length) * L2.size(found - images)
    share = (wanted / L2.size(delta).clamp(min=torch.finfo(delta.dtype).tiny)).clamp(max=1)
    return (images + delta * per_image(share, images)).clamp(0, 1)
