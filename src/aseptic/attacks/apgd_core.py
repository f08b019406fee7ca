"""Auto-PGD's search for one objective: momentum, step sizes that follow progress, restarts from the best point."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from aseptic.attacks.apgd_state import Kept, State
from aseptic.attacks.climbing import ELSEWHERE, LOOK_EVERY
from aseptic.core.types import Flags, Images, Logits, Number, PerImage, Rows
from aseptic.ops.balls import Ball, Budget, unblocked
from aseptic.ops.box import onto_l1_in_box
from aseptic.ops.gradients import input_gradient
from aseptic.ops.images import per_image, take

Judge = Callable[[Logits, Rows], PerImage]
"""Logits, and the rows of the batch that they belong to, to one number for each."""

FIRST, SHRINK, LEAST = 0.22, 0.03, 0.06
"""First interval between checkpoints as a share of the steps, what later ones lose, and the shortest."""
CHECK_L1, DENSITY, THINNER, SPARSER = 0.04, 0.2, 1.5, 0.95
"""l1: interval between checkpoints; share of values that the first step moves; later ones move the support of the best
point divided by this; share of its last support below which it counts as sparser."""
SLOWER, SLOWEST = 1.5, 10
"""l1: what the step is divided by where the best point did not become sparser, and the most in all."""


@dataclass(frozen=True, kw_only=True)
class Search:
    """What one search asks and how it goes."""

    model: Callable[[Images], Logits]
    """Images to logits."""
    objective: Judge
    """What is climbed."""
    margin: Judge
    """Positive where the goal is reached."""
    steps: int
    """Number of gradient evaluations."""
    rho: Number
    """Share of the steps since the last checkpoint that must have risen, or the step is halved."""
    momentum: Number
    """Weight of the gradient step; the rest is the last movement."""
    stop: bool
    """Spend nothing more on an image that has fallen."""
    keep: bool = True
    """Prefer an iterate that reached the goal; if not, the best is returned, whatever it reached."""

    def run(self, images: Images, start: Callable[[], Images], ball: Budget) -> tuple[Images, PerImage]:
        """Return, for each image, an iterate that reached the goal where there is one, else the best; and its margin.

        Of iterates that reached it, the one with the highest objective; with ``stop`` there is one only. Costs
        ``steps + 1`` forward and ``steps`` backward passes for each image that does not fall; in l1, which goes
        through larger balls first, ``steps + 3`` forward.

        Args:
            images: Centres of the ball.
            start: Makes the points to begin at, inside the first ball and [0, 1]; called once, so that nobody else
                keeps them.
            ball: Allowed perturbations.
        """
        *wide, (_, steps) = widening(ball, self.steps)
        for number, (larger, some) in enumerate(wide, start=1):
            search = replace(self, steps=some, stop=False, keep=False)
            found, _ = _climb(search, _begin(images, start(), larger), larger)
            start = partial(inside, [*wide, (ball, steps)][number][0], images, found)
        return _climb(replace(self, steps=steps), _begin(images, start(), ball), ball)


def checkpoints(steps: int) -> frozenset[int]:
    r"""Return the steps :math:`\lceil p_j N \rceil` after which progress is judged (Croce and Hein, 2020, section 3.3).

    >>> sorted(checkpoints(100))
    [22, 41, 57, 70, 80, 87, 93, 99]
    """
    share, last = FIRST, 0.0
    found = []
    while share <= 1:
        found.append(math.ceil(share * steps - 1e-9))  # 57.000000000000007 is 57
        share, last = share + max(share - last - SHRINK, LEAST), share
    return frozenset(found)


def widening(ball: Budget, steps: int) -> list[tuple[Budget, int]]:
    """Return the balls that an l1 search goes through and the steps in each; for other norms the ball alone.

    An l1 search in a larger ball finds which values matter (Croce and Hein, 2021, section 3.2).

    >>> [(ball.radius, steps) for ball, steps in widening(Ball("l1", 2.0), 100)]
    [(6.0, 30), (4.0, 30), (2.0, 40)]
    """
    part = steps * 3 // 10
    wide = [(Ball(ball.norm, ball.radius * times), part) for times in (3, 2)] if ball.norm == "l1" and part else []
    return [*wide, (ball, steps - part * len(wide))]


def inside(ball: Budget, images: Images, found: Images) -> Images:
    """Return points of the ball and of [0, 1]: the nearest ones in linf and l1; in l2, first the ball, then [0, 1]."""
    if ball.norm == "l1":
        return onto_l1_in_box(images, found - images, ball.radius).add_(images).clamp_(0, 1)
    return ball.project(found - images).add_(images).clamp_(0, 1)


def _begin(images: Images, start: Images, ball: Budget) -> State:
    """Return the state before anything was looked at."""
    zero = torch.zeros_like(images.flatten(1)[:, 0])
    nothing = torch.full_like(zero, -torch.inf)
    total = max(images[:1].numel(), 1)
    changed = (start != images).flatten(1).sum(1).to(zero)
    changed = torch.where(changed > 0, changed, total)
    return State(
        rows=torch.arange(len(images), device=images.device),
        images=images,
        here=start,
        before=start,
        gradient=start,
        value=nothing,
        best=start.clone(),
        best_gradient=start,
        best_value=nothing,
        best_margin=zero,
        kept_value=nothing,
        kept_margin=zero,
        step=zero + ball.radius * (1 if ball.norm == "l1" else 2),
        rises=zero,
        last_best=nothing,
        halved=torch.zeros_like(zero, dtype=torch.bool),
        support=changed,
        density=(changed / total / THINNER).clamp(max=DENSITY),
    )


def _climb(search: Search, state: State, ball: Budget) -> tuple[Images, PerImage]:
    """Take the steps of one search in one ball, and leave images out as they fall."""
    kept, reached = Kept(state), state.value.clone()
    look = LOOK_EVERY.get(state.here.device.type, ELSEWHERE)
    marks, last = checkpoints(search.steps), 0
    pause = max(int(CHECK_L1 * search.steps), 1)
    for done in range(search.steps):
        _evaluate(search, state, kept, final=False)
        if done == 0:
            _mark(state)
        if search.stop and done % look == 0 and bool((fallen := state.kept_value > -torch.inf).any()):
            _write(state, fallen, reached)
            state = state.only(~fallen)
            if not len(state.rows):
                return kept.found, reached
        if ball.norm == "l1":
            if done and done % pause == 0:
                _thin(state, ball)
            moved = _sparse_step(state, ball)
        else:
            if done in marks:
                _halve(state, search.rho * (done - last))
                last = done
            moved = _step(state, ball, search.momentum if done else 1.0)
        state.before, state.here, state.gradient = state.here, moved, moved
    _evaluate(search, state, kept, final=True)
    _write(state, torch.ones_like(state.halved), reached)
    return kept.fill(state), reached


def _evaluate(search: Search, state: State, kept: Kept, *, final: bool) -> None:
    """Look at the point where each image is, and keep it if it reached the goal; the last needs no gradient."""
    values: list[Tensor] = []

    def climbed(logits: Logits) -> PerImage:
        values.append(search.objective(logits, state.rows))
        return values[0]

    if final:
        with torch.no_grad():
            logits = search.model(state.here.clone())
            climbed(logits)
    else:
        logits, state.gradient = input_gradient(search.model, climbed, state.here)
    value, reached = values[0].detach(), search.margin(logits, state.rows)
    state.rises = state.rises + (value > state.value)
    better = (value > state.best_value) | state.best_value.isneginf()
    take(state.best, better, state.here)
    if state.best_gradient is state.here:  # the first look
        state.best_gradient = state.gradient.clone()
    elif not final:
        take(state.best_gradient, better, state.gradient)
    state.best_margin = torch.where(better, reached, state.best_margin)
    state.best_value = torch.where(better, value, state.best_value)
    new = state.kept_value.isneginf() if search.stop else value > state.kept_value
    chosen = (reached > 0) & new & search.keep
    kept.enter(chosen, state)
    state.kept_margin = torch.where(chosen, reached, state.kept_margin)
    state.kept_value = torch.where(chosen, value, state.kept_value)
    state.value = value


def _write(state: State, done: Flags, reached: Tensor) -> None:
    """Enter the margins of the images that are done."""
    margins = torch.where(state.kept_value > -torch.inf, state.kept_margin, state.best_margin)
    reached[state.rows[done]] = margins[done]


def _step(state: State, ball: Budget, momentum: Number) -> Images:
    """Return the next points: a projected gradient step, mixed with the last movement."""
    uphill = state.gradient if ball.norm == "linf" else unblocked(state.here, state.gradient)
    straight = ball.steepest(uphill).mul_(per_image(state.step, uphill)).add_(state.here)
    straight = inside(ball, state.images, straight)
    if momentum == 1:
        return straight
    mixed = torch.lerp(state.here, straight, momentum)
    mixed += (1 - momentum) * (state.here - state.before)
    return inside(ball, state.images, mixed)


def _sparse_step(state: State, ball: Budget) -> Images:
    """Return the next points of an l1 search: the values of largest gradient share the step, without momentum."""
    uphill = unblocked(state.here, state.gradient).flatten(1)
    sizes = uphill.abs()
    count = (state.density * uphill.shape[1]).long().clamp(min=1)
    least = sizes.sort(1, descending=True).values.gather(1, count[:, None] - 1)
    signs = uphill.sign() * (sizes >= least)
    share = signs * (state.step / signs.abs().sum(1).clamp(min=1))[:, None]
    return inside(ball, state.images, state.here + share.reshape(state.here.shape))


def _halve(state: State, wanted: Number) -> None:
    """Judge the progress since the last checkpoint; where it was poor, halve the step and go back to the best point."""
    stuck = ~state.halved & (state.best_value <= state.last_best)
    state.halved = (state.rises < wanted) | stuck
    state.step = torch.where(state.halved, state.step / 2, state.step)
    _go_back(state, state.halved)
    _mark(state)


def _mark(state: State) -> None:
    """Begin an interval between checkpoints."""
    state.last_best, state.rises = state.best_value, torch.zeros_like(state.rises)


def _thin(state: State, ball: Budget) -> None:
    """Set how many values the next l1 steps move; where the best point became sparser, step widely again from there."""
    support = (state.best != state.images).flatten(1).sum(1).to(state.support)
    sparser = support < SPARSER * state.support
    smaller = (state.step / SLOWER).clamp(min=ball.radius / SLOWEST)
    state.step = torch.where(sparser, torch.full_like(smaller, ball.radius), smaller)
    state.density = support / max(state.images[:1].numel(), 1) / THINNER
    state.support = support
    _go_back(state, sparser)


def _go_back(state: State, flags: Flags) -> None:
    take(state.here, flags, state.best)
    take(state.gradient, flags, state.best_gradient)
    state.value = torch.where(flags, state.best_value, state.value)
