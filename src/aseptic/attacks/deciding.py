"""What searches by the decision alone have in common: a point to begin with, and the way back to the image."""

import math
from collections.abc import Sequence

import torch

from aseptic.attacks.asking import Questions
from aseptic.attacks.base import Batch
from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, PerImage, Rows
from aseptic.ops.balls import Ball, Budget
from aseptic.ops.draws import uniforms
from aseptic.ops.images import per_image

BEYOND = 2.0**-12
"""How far beyond the nearest point the result lies, as a share of the distance."""


def starting_points(questions: Questions, batch: Batch, tries: int) -> tuple[Images, Flags]:
    """Return a point for each image where the goal is seen to be reached, and whether there is one.

    Asked about are the image, then ``start``, then the negative of the image, then noise: of single values first,
    then of blocks twice, four times as wide, up to one level for each channel, and from single values again, each in
    grey levels and in black and white. (Noise of single values looks the same to most networks; blocks differ.)
    Where nothing is found, the point is ``start``, or the image.

    Args:
        questions: What may be asked about the batch.
        batch: Images to find a point for.
        tries: Most points for each image, without the image and ``start``.
    """
    images, start = batch.images, batch.start
    has = questions.look(images) > 0
    points = images.clone() if start is None else torch.where(per_image(has, images), images, start)
    if start is not None:
        rows = (~has).nonzero()[:, 0]
        rows = rows[questions.left(rows) > 0]
        has[rows] = questions.reached(start[rows], rows)
    for number in range(tries):
        rows = (~has).nonzero()[:, 0]
        rows = rows[questions.left(rows) > 0]
        if len(rows) == 0:
            break
        tried = 1 - images[rows] if number == 0 else _noise(images[rows], number, batch.streams(rows))
        fell = questions.reached(tried, rows)
        points[rows[fell]] = tried[fell]
        has[rows] = fell
    return points, has


def _noise(images: Images, number: int, rng: Sequence[torch.Generator]) -> Images:
    """Return noise in blocks, whose side and contrast depend on the number of the try."""
    space = images.shape[2:]
    power, sharp = divmod(number - 1, 2)
    side = 2 ** (power % (1 + math.ceil(math.log2(max(space)))))
    drawn = uniforms(rng, (images.shape[1], *(math.ceil(length / side) for length in space)), images)
    drawn = drawn.round() if sharp else drawn
    for axis, length in enumerate(space, start=2):
        drawn = drawn.repeat_interleave(side, dim=axis).narrow(axis, 0, length)
    return drawn


def between(norm: str, images: Images, found: Images, share: PerImage) -> Images:
    """Return points at this share of the way (of the norm) from the images to what was found; 1 is all of it.

    In linf that is what was found, brought into the smaller box around the image (Chen et al., 2020, section 3.3).
    """
    delta = found - images
    if norm == "linf":
        reach = per_image(share * Ball(norm, 0).size(delta), images)
        delta = torch.maximum(torch.minimum(delta, reach), -reach)
    else:
        delta = delta * per_image(share, images)
    moved = (images + delta).clamp(0, 1)
    return torch.where(per_image(share >= 1, images), found, moved)


def bisect(  # noqa: PLR0913 - two points, whose they are, and how fine
    questions: Questions, norm: str, images: Images, found: Images, *, rows: Rows, tolerance: float
) -> Images:
    """Return the nearest points on the way to the images that still reach the goal, to this share of the way.

    Args:
        questions: The open batch.
        norm: In what the way is measured.
        images: Original images of these rows.
        found: Points that reach the goal.
        rows: Which images of the batch they are; each is asked about as long as it has questions left.
        tolerance: Share of the way at which to stop.
    """
    low, high = torch.zeros_like(found.flatten(1)[:, 0]), torch.ones_like(found.flatten(1)[:, 0])
    for _ in range(bisections(tolerance)):
        on = (questions.left(rows) > 0).nonzero()[:, 0]
        middle = (low[on] + high[on]) / 2
        fell = questions.reached(between(norm, images[on], found[on], middle), rows[on])
        high[on[fell]] = middle[fell]
        low[on[~fell]] = middle[~fell]
    return between(norm, images, found, high)


def bring_back(budget: Budget, images: Images, nearest: Images) -> Images:
    """Return the nearest points inside the budget, a little beyond the boundary.

    A point on the boundary itself would be judged by the rounding of the model, which depends on the batch.
    """
    return budget.project((nearest - images) * (1 + BEYOND)).add_(images).clamp_(0, 1)


def bisections(tolerance: float) -> int:
    """Return how many questions `bisect` asks about each image."""
    return math.ceil(-math.log2(tolerance))


def check_tries(tries: int) -> None:
    """Raise `InputError` unless an attack tries at least one starting point."""
    if tries < 1:
        raise InputError(f"tries must be a whole number of at least 1, got {tries!r}")
