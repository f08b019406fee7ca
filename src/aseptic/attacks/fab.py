"""The Fast Adaptive Boundary attack (Croce and Hein, 2020) on 2-D and 3-D images."""

import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.nearest import Nearest, rounding
from aseptic.attacks.rivals import ahead, check_classes, rivals
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage
from aseptic.ops.balls import DUAL, Ball
from aseptic.ops.box import to_plane_in_box
from aseptic.ops.gradients import linearise
from aseptic.ops.images import per_image
from aseptic.ops.logits import ranked_others
from aseptic.tasks.multiclass import Avoid, own

Ways = Callable[[Logits, Tensor], Tensor]
"""Logits, and the rows of the batch that they belong to, to margins ``[row, way]``; any positive one is enough."""


@dataclass(frozen=True, kw_only=True)
class FastBoundary(EvasionAttack):
    """What both have in common: everything but which boundaries are looked at together."""

    steps: int = 100
    """Number of linearisations in one search."""
    restarts: int = 1
    """Searches for each set of boundaries; the first starts at the image, later ones at random points near it."""
    bias: Number = 0.1
    """Largest weight of the step from the original image against the step from where the search is."""
    overshoot: Number = 1.05
    """Length of a step, as a multiple of the way to the boundary."""
    back: Number = 0.9
    """Share of the perturbation that is left when the search goes back from beyond the boundary."""
    refine: int = 3
    """Steps of a secant search between the image and the nearest point found, at the end."""
    stop: bool = False
    """Spend nothing more on an image once the nearest point found lies in the budget."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        for name, least in (("steps", 1), ("restarts", 1), ("refine", 0)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {getattr(self, name)!r}")
        for name in ("bias", "back"):
            if not 0 <= getattr(self, name) < 1:
                raise InputError(f"{name} must lie in [0, 1), got {getattr(self, name)!r}")
        if not (math.isfinite(self.overshoot) and self.overshoot >= 1):
            raise InputError(f"overshoot must be a number of at least 1, got {self.overshoot!r}")

    @abstractmethod
    def boundaries(self, model: Counted, batch: Batch) -> list[Ways]:
        """Return the boundaries that are looked at together, for one search after the other."""

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the nearest points found beyond a boundary, brought into the budget where they lie outside it."""
        nearest = Nearest(batch)
        rows = nearest.begin(model)
        clean = nearest.margin.clone()
        if len(rows) == 0:
            return nearest.result()
        searches = self.boundaries(model, batch)
        for number, ways in enumerate(searches * self.restarts):
            here = (batch.images if number else batch.begin)[rows]
            if number >= len(searches):
                here = _near(nearest, rows, batch.streams(rows))
            rows = self._search(model, nearest, ways, rows, here)
            if len(rows) == 0:
                return nearest.result()
        self._refine(model, nearest, rows[nearest.distance[rows].isfinite()], clean)
        return nearest.result()

    def _search(self, model: Counted, nearest: Nearest, ways: Ways, rows: Tensor, here: Images) -> Tensor:
        """Go to and fro over the boundaries; return the rows on which more may be spent."""
        images, budget = nearest.images[rows], nearest.threat.budget
        for _ in range(self.steps):
            here = self._next(model, nearest, ways, rows, images, here)
            with torch.no_grad():
                reached, _ = nearest.look(model, rows, here, model(here.clone()))
            here = torch.lerp(images, here, per_image(torch.where(reached, self.back, 1.0), here))
            if self.stop and bool((done := nearest.distance[rows] <= budget.radius).any()):
                rows, images, here = (part[~done] for part in (rows, images, here))
                if len(rows) == 0:
                    break
        return rows

    def _next(  # noqa: PLR0913, PLR0917 - what `_search` knows
        self, model: Counted, nearest: Nearest, ways: Ways, rows: Tensor, images: Images, here: Images
    ) -> Images:
        """Return points just beyond the nearest boundary, to first order: from here, and a little from the image."""
        budget = nearest.threat.budget
        pulled = torch.where(nearest.distance[rows].isfinite(), self.bias, 0.0)
        logits, margins, gradient = linearise(model, lambda logits: ways(logits, rows), here)
        wanted = margins - 2 * rounding(logits)[:, None]
        normal, value = _closest(wanted, gradient, budget.norm)
        away = value + torch.linalg.vecdot((images - here).flatten(1), normal.flatten(1))
        onward = to_plane_in_box(here, normal, value, budget.norm)
        aside = to_plane_in_box(images, normal, away, budget.norm)
        near, far = (budget.size(step).clamp(min=torch.finfo(step.dtype).tiny) for step in (onward, aside))
        weight = per_image(torch.minimum(near / (near + far), pulled), here)
        here, images = (torch.add(x, step, alpha=self.overshoot) for x, step in ((here, onward), (images, aside)))
        return here.lerp_(images, weight).clamp_(0, 1)

    def _refine(self, model: Counted, nearest: Nearest, rows: Tensor, clean: PerImage) -> None:
        """Look for the boundary between each image and the nearest point found, by the method of false position."""
        images, low, below = nearest.images[rows], torch.zeros_like(clean[rows]), clean[rows]
        delta, high, above = nearest.best[rows] - images, torch.ones_like(low), nearest.margin[rows]
        enough = torch.zeros_like(low)
        for _ in range(self.refine if len(rows) else 0):
            share = (low + (high - low) * (enough - below) / (above - below)).clamp(0, 1)
            found = images + per_image(share, images) * delta
            with torch.no_grad():
                logits = model(found.clone())
            reached, margin = nearest.look(model, rows, found, logits)
            enough = 2 * rounding(logits)
            low, below = torch.where(reached, low, share), torch.where(reached, below, margin)
            high, above = torch.where(reached, share, high), torch.where(reached, margin, above)


@dataclass(frozen=True, kw_only=True)
class FAB(FastBoundary):
    r"""Steps over the boundary that is nearest to first order, pulled towards the image; looks for the smallest norm.

    :math:`x' \leftarrow (1 - \alpha)(x' + \eta\, d(x')) + \alpha (x + \eta\, d(x))` with the shortest way :math:`d` to
    the linearised boundary inside [0, 1]; from beyond the boundary it goes back to :math:`x + \beta (x' - x)`.

    Paper: https://arxiv.org/abs/1907.02044, algorithm 1.
    Departs from it: any goal; one that needs several outputs at once (another class before all, every finding) by its
    margin alone, for which nothing is pulled towards the image until a first point was found; the last search is one
    of false position; what it finds outside the budget is brought to the nearest point inside.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

    def boundaries(self, model: Counted, batch: Batch) -> list[Ways]:
        """Return the boundaries to all other classes together."""
        task = model.task
        if not isinstance(batch.threat.goal, Avoid):
            return [_only(model, batch)]

        def ways(logits: Logits, rows: Tensor) -> Tensor:
            shifted, truth = task.shift(logits), batch.targets[rows]
            others = ranked_others(shifted.detach(), truth, len(task.classes) - 1)
            return shifted.gather(1, others) - own(shifted, truth)[:, None]

        return [ways]


@dataclass(frozen=True, kw_only=True)
class FABT(FastBoundary):
    """As ``fab``, over the boundary to one other class after the other: one backward pass a step.

    Paper: https://arxiv.org/abs/2003.01690, section 5 (FAB-T); https://arxiv.org/abs/1907.02044, algorithm 1.
    Departs from it: as ``fab``; goals other than to avoid a class have one boundary only, and one search.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

    classes: int = 9
    """Other classes that are tried, those of largest logit on the unchanged image first."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        check_classes(self.classes)

    def boundaries(self, model: Counted, batch: Batch) -> list[Ways]:
        """Return the boundary to each class that is tried."""
        if not isinstance(batch.threat.goal, Avoid):
            return [_only(model, batch)]

        def towards(rival: Tensor) -> Ways:
            return lambda logits, rows: ahead(model.task, logits, rival[rows], batch.targets[rows])[:, None]

        return [towards(rival) for rival in rivals(model, batch, self.classes).T]


def _only(model: Counted, batch: Batch) -> Ways:
    """Return the goal's own margin as the only way to it."""
    goal = batch.threat.goal
    return lambda logits, rows: goal.margin(model.task, logits, batch.targets[rows])[:, None]


def _closest(values: Tensor, gradient: Callable[[Tensor], Images], norm: str) -> tuple[Images, PerImage]:
    """Return gradient and value of the linear function whose zero is nearest, of those in the columns."""
    columns = torch.zeros_like(values, dtype=torch.long).T
    normal, value = gradient(columns[0]), values[:, 0]
    if values.shape[1] == 1:
        return normal, value
    best = _way(value, normal, norm)
    for column in range(1, values.shape[1]):
        found = gradient(columns[column] + column)
        closer = (far := _way(values[:, column], found, norm)) < best
        normal = torch.where(per_image(closer, found), found, normal)
        value = torch.where(closer, values[:, column], value)
        best = torch.minimum(far, best)
    return normal, value


def _way(value: PerImage, gradient: Images, norm: str) -> PerImage:
    """Return how far the zero of each linear function is."""
    slope: Tensor = torch.linalg.vector_norm(gradient.flatten(1).double(), DUAL[norm], dim=1)
    return value.abs() / slope.to(value).clamp(min=torch.finfo(value.dtype).tiny)


def _near(nearest: Nearest, rows: Tensor, rng: Sequence[torch.Generator]) -> Images:
    """Return random points of half the radius, or of half the way to the nearest point found where that is shorter."""
    budget, images = nearest.threat.budget, nearest.images[rows]
    radius = nearest.distance[rows].clamp(max=budget.radius) / 2
    unit = Ball(budget.norm, 1.0)
    drawn = torch.cat([unit.sample(image[None], own_rng) for image, own_rng in zip(images, rng, strict=True)])
    return (images + per_image(radius, images) * drawn).clamp_(0, 1)
