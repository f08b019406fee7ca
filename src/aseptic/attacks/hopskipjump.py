"""HopSkipJump (Chen et al., 2020): the direction of the boundary, estimated from decisions alone."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from aseptic.attacks.asking import Questions, check_queries
from aseptic.attacks.base import Batch, Counted, EvasionAttack, within
from aseptic.attacks.deciding import bisect, bisections, bring_back, check_tries, starting_points
from aseptic.core.errors import InputError
from aseptic.core.types import Images, PerImage, Rows
from aseptic.ops.balls import Ball
from aseptic.ops.draws import normals, uniforms
from aseptic.ops.images import per_image

FINEST = 2.0**-16
"""Least share of the way to the image that a bisection resolves; float32 images have no finer ones to speak of."""
FIRST_PROBE = 0.1
"""Length of the first probes, in image units."""
HALVINGS = 8
"""Most halvings of a step."""


@dataclass(frozen=True, kw_only=True)
class HopSkipJump(EvasionAttack):
    r"""Bisect to the boundary, probe around it, go :math:`d / \sqrt t` along :math:`\sum_b (\phi_b - \bar\phi) u_b`.

    Paper: https://arxiv.org/abs/1904.02144, algorithm 2.
    Departs from it: the start is noise of many widths; bisections stop at 2^-16 of the way, where float32 images
    do; no more than eight halvings of a step; the nearest point of all is kept, and brought into the budget.
    Blind to: goals that noise does not reach (a rare class): those images are returned as they were.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "decisions"
    norms: ClassVar[tuple[str, ...]] = ("linf", "l2")

    queries: int = 25_000
    """Most questions about one image."""
    probes: int = 100
    """Questions for the first direction; the ``t``-th has :math:`\\sqrt t` times as many."""
    most_probes: int = 10_000
    """Most questions for one direction."""
    tries: int = 100
    """Most points of noise in search of a start."""
    stop: bool = False
    """Spend nothing more on an image whose point lies inside the budget, instead of coming nearer still."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        check_queries(self.queries)
        check_tries(self.tries)
        if not 1 <= self.probes <= self.most_probes:
            raise InputError(f"probes must lie in 1..most_probes ({self.most_probes}), got {self.probes!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the nearest point seen to reach the goal, brought into the budget."""
        images, budget, questions = batch.images, batch.threat.budget, Questions(model, batch, self.queries)
        norm, values = budget.norm, images[0].numel()
        size = Ball(norm, 0).size
        theta = max(values ** (-1.5 if norm == "l2" else -2.0), FINEST)
        found, has = starting_points(questions, batch, self.tries)
        nearest = found.clone()
        rows = (has & (size(found - images) > 0)).nonzero()[:, 0]
        found, spread = found[rows], theta * size(found - images)[rows]
        found = bisect(questions, norm, images[rows], found, rows=rows, tolerance=theta)
        nearest[rows] = found
        for step in range(1, self.queries):
            counts = (questions.left(rows) - bisections(theta) - HALVINGS // 2).clamp(
                max=min(self.most_probes, int(self.probes * math.sqrt(step)))
            )
            on = (counts > 0) & (size(found - images[rows]) > 0)
            if self.stop:
                on &= ~within(budget, nearest[rows] - images[rows])
            rows, found, spread, counts = (part[on] for part in (rows, found, spread, counts))
            if len(rows) == 0:
                break
            probe = torch.full_like(spread, FIRST_PROBE) if step == 1 else spread * values ** _power(norm)
            uphill = _direction(questions, found, batch.streams(rows), rows=rows, probe=probe, counts=counts)
            moved = self._leap(questions, images[rows], found, rows=rows, uphill=uphill, step=step)
            spread = theta * size(moved - images[rows])
            found = bisect(questions, norm, images[rows], moved, rows=rows, tolerance=theta)
            nearer = size(found - images[rows]) < size(nearest[rows] - images[rows])
            nearest[rows[nearer]] = found[nearer]
        return bring_back(budget, images, nearest)

    def _leap(  # noqa: PLR0913 - a point, its image, and where to go
        self, questions: Questions, images: Images, found: Images, *, rows: Rows, uphill: Images, step: int
    ) -> Images:
        """Return the points after the longest step that still reaches the goal, or the points themselves."""
        length = questions.threat.budget.size(found - images) / math.sqrt(step)
        moved, looking = found.clone(), torch.ones_like(rows, dtype=torch.bool)
        for _ in range(HALVINGS):
            on = (looking & (questions.left(rows) > 0)).nonzero()[:, 0]
            tried = (found[on] + uphill[on] * per_image(length[on], images)).clamp(0, 1)
            fell = questions.reached(tried, rows[on])
            moved[on[fell]] = tried[fell]
            looking[on[fell]] = False
            length = length / 2
        return moved


def _power(norm: str) -> float:
    return 0.5 if norm == "l2" else 1.0


def _direction(  # noqa: PLR0913 - where to probe, how far, how often
    questions: Questions,
    found: Images,
    rng: Sequence[torch.Generator],
    *,
    rows: Rows,
    probe: PerImage,
    counts: Tensor,
) -> Images:
    """Return the estimated direction across the boundary, in blocks as large as the batch.

    Probes are drawn and summed one after the other, so that nothing depends on how many images share a block.
    """
    norm = questions.threat.budget.norm
    weighed, plain, total = torch.zeros_like(found), torch.zeros_like(found), torch.zeros_like(probe)
    most, at_once = int(counts.max()), max(1, len(questions.targets) // len(rows))
    for first in range(0, most, at_once):
        who = [(counts > number).nonzero()[:, 0] for number in range(first, min(first + at_once, most))]
        drawn = torch.cat([_unit(norm, found[some], [rng[row] for row in some.tolist()]) for some in who])
        whose = torch.cat(who)
        tried = (found[whose] + drawn * per_image(probe[whose], found)).clamp(0, 1)
        drawn = (tried - found[whose]) / per_image(probe[whose], found)
        told = 2 * questions.reached(tried, rows[whose]).to(found) - 1
        sizes = [len(some) for some in who]
        for some, along, said in zip(who, torch.split(drawn, sizes), torch.split(told, sizes), strict=True):
            weighed[some] += along * per_image(said, found)
            plain[some] += along
            total[some] += said
    mean = total / counts
    mean = torch.where(mean.abs() == 1, 0, mean)  # all answers alike: the baseline would cancel everything
    uphill = weighed - per_image(mean, found) * plain
    return uphill.sign() if norm == "linf" else Ball("l2", 0).steepest(uphill)


def _unit(norm: str, like: Images, rng: Sequence[torch.Generator]) -> Images:
    """Return random directions of l2 norm 1: normal, or in linf uniform in each value."""
    shape = like.shape[1:]
    drawn = normals(rng, shape, like) if norm == "l2" else uniforms(rng, shape, like) * 2 - 1
    return Ball("l2", 0).steepest(drawn)
