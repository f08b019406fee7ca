"""Auto-PGD (Croce and Hein, 2020) with three objectives, on 2-D and 3-D images."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.apgd_core import Judge, Search, widening
from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.rivals import ahead, check_classes, rivals
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage, Rows
from aseptic.ops.balls import random_start
from aseptic.ops.images import take
from aseptic.ops.logits import spread
from aseptic.tasks.base import Task
from aseptic.tasks.multiclass import Avoid

LEAST_TARGETED_DLR = 4
"""Classes below which the targeted difference of logits ratio is undefined."""


@dataclass(frozen=True, kw_only=True)
class AutoPGD(EvasionAttack):
    """What the three have in common: everything but the objective."""

    steps: int = 100
    """Number of gradient evaluations in one search."""
    restarts: int = 1
    """Searches for each objective, each from a point of its own."""
    rho: Number = 0.75
    """Share of the steps between two checkpoints that must have risen, or the step is halved."""
    momentum: Number = 0.75
    """Weight of the gradient step; the rest is the last movement. Not used in l1."""
    random_start: bool = True
    """Start uniformly inside the budget instead of at the image (the first search; later ones always do)."""
    stop: bool = True
    """Keep the first iterate that reaches the goal and spend nothing more on that image."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        for name in ("steps", "restarts"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        for name in ("rho", "momentum"):
            value = getattr(self, name)
            if not (math.isfinite(value) and 0 < value <= 1):
                raise InputError(f"{name} must lie in (0, 1], got {value!r}")

    @abstractmethod
    def objectives(self, model: Counted, batch: Batch) -> list[Judge]:
        """Return what is climbed, one search after the other."""

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, an iterate that reached the goal where there is one, else that of largest margin."""
        images, start, budget = batch.images, batch.start, batch.threat.budget

        def margin(logits: Logits, rows: Rows) -> PerImage:
            return batch.threat.goal.margin(model.task, logits, batch.targets[rows])

        found, reached = images, torch.full_like(images.flatten(1)[:, 0], -torch.inf)
        widest, _ = widening(budget, self.steps)[0]
        judges = self.objectives(model, batch)
        left = torch.arange(len(images), device=images.device)
        for number, judge in enumerate(judges * self.restarts):
            centres = images if len(left) == len(images) else images[left]
            begin = partial(torch.index_select, batch.begin, 0, left)
            if number >= len(judges) or (self.random_start and start is None):
                begin = partial(random_start, widest, centres, batch.streams(left))
            search = Search(
                model=model,
                objective=partial(_of_these, judge, left),
                margin=partial(_of_these, margin, left),
                steps=self.steps,
                rho=self.rho,
                momentum=self.momentum,
                stop=self.stop,
            )
            new, margins = search.run(centres, begin, budget)
            if number == 0:
                found, reached = new, margins
            else:
                better = margins > reached[left]
                take(found, better, new, left)
                reached[left] = torch.where(better, margins, reached[left])
            del new  # the next search needs the memory
            if self.stop and not len(left := left[~(reached[left] > 0)]):
                break
        return found


def _of_these(judge: Judge, left: Tensor, logits: Logits, rows: Rows) -> PerImage:
    """Return what is judged of some of the images that are left."""
    return judge(logits, left[rows])


@dataclass(frozen=True, kw_only=True)
class APGDCE(AutoPGD):
    r"""Auto-PGD on the goal's smooth objective: the cross-entropy.

    :math:`x_{k+1} = \Pi(x_k + \alpha (\Pi(x_k + \eta\, u(\nabla J)) - x_k) + (1 - \alpha)(x_k - x_{k-1}))`; at fixed
    checkpoints :math:`\eta` is halved and the search goes back to its best point where fewer than :math:`\rho` of the
    steps rose, or nothing improved at an unchanged step.

    Paper: https://arxiv.org/abs/2003.01690, algorithm 1 and section 3; for l1
    https://arxiv.org/abs/2103.01208, section 3 (sparse steps whose number of values follows the best point, exact
    projection, radii of 3, 2 and 1 times the budget).
    Departs from it: any goal; starts uniformly inside the budget; images that have fallen are left alone; in l1 and l2
    a step is not spent on values that are already at 0 or 1.
    Blind to: masked gradients, and logits so large that the cross-entropy is flat; pair it with ``apgd-t``, which does
    not see their scale, and with an attack that only asks questions.
    """

    def objectives(self, model: Counted, batch: Batch) -> list[Judge]:
        """Return the goal's smooth objective."""
        goal = batch.threat.goal
        return [lambda logits, rows: goal.objective(model.task, logits, batch.targets[rows])]


@dataclass(frozen=True, kw_only=True)
class APGDDLR(AutoPGD):
    r"""Auto-PGD on the difference of logits ratio, :math:`(\max_{i \ne y} z_i - z_y) / (z_{\pi_1} - z_{\pi_3})`.

    Paper: https://arxiv.org/abs/2003.01690, equation 6.
    Departs from it: a chosen class is reached as by ``apgd-t``, because this ratio is constant where that class comes
    third; otherwise as ``apgd-ce``.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass",)
    least_classes: ClassVar[int] = 3

    def objectives(self, model: Counted, batch: Batch) -> list[Judge]:
        """Return the ratio."""
        goal = batch.threat.goal

        def ratio(logits: Logits, rows: Rows) -> PerImage:
            margin = goal.margin(model.task, logits, batch.targets[rows])
            if not isinstance(goal, Avoid):
                return _targeted(model.task, margin, logits)
            return margin / spread(model.task.shift(logits), 3)

        return [ratio]


@dataclass(frozen=True, kw_only=True)
class APGDT(AutoPGD):
    r"""Auto-PGD towards one other class after the other.

    It climbs :math:`(z_t - z_y) / (z_{\pi_1} - (z_{\pi_3} + z_{\pi_4})/2)`, whatever the scale of the logits.

    Paper: https://arxiv.org/abs/2003.01690, equation 7 and section 4.
    Departs from it: with two or three classes, for which the ratio is not defined, :math:`z_t - z_y`; for a chosen
    class one search, on the ratio of that goal's margin; for findings one search, on the goal's margin (each finding
    has two outcomes, so that there is no class to choose). Otherwise as ``apgd-ce``.
    Blind to: masked gradients; pair it with an attack that only asks questions.
    """

    classes: int = 9
    """Other classes that are tried, those of largest logit on the unchanged image first."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        super().__post_init__()
        check_classes(self.classes)

    def objectives(self, model: Counted, batch: Batch) -> list[Judge]:
        """Return one ratio for each class that is tried, or the goal's own."""
        task, goal, targets = model.task, batch.threat.goal, batch.targets
        if not isinstance(goal, Avoid):
            return [lambda logits, rows: _targeted(task, goal.margin(task, logits, targets[rows]), logits)]

        def towards(rival: Tensor) -> Judge:
            return lambda logits, rows: _targeted(task, ahead(task, logits, rival[rows], targets[rows]), logits)

        return [towards(rival) for rival in rivals(model, batch, self.classes).T]


def _targeted(task: Task, margin: PerImage, logits: Logits) -> PerImage:
    """Return the margin in units of the logits' spread where that is defined, else the margin."""
    if task.name != Avoid.task or len(task.classes) < LEAST_TARGETED_DLR:
        return margin
    return margin / spread(task.shift(logits), 3, 4)
