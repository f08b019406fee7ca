"""MM-BD (Wang et al., 2024): how sure of an output a model can be made by any image at all; needs no data."""

import math
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from aseptic.attacks.base import Counted
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Logits, Number, PerImage
from aseptic.ops.gradients import input_gradient
from aseptic.scanners.aims import margins
from aseptic.scanners.base import Found, ModelScanner, Progress, Scores, Watch
from aseptic.scanners.descent import Adam

FAST, SLOW = 0.9, 0.999
"""Adam's memories."""
CHECKS = 10
"""Looks at whether an output still gains."""
GAIN = 1e-3
"""An output whose margin has grown by less than this share since the last look has ended."""


@dataclass(frozen=True, kw_only=True)
class MMBD(ModelScanner):
    r"""Score an output by the largest margin that any image has: :math:`\max_x f_k(x) - \max_{j \ne k} f_j(x)`.

    A model that learns a trigger becomes overly sure of its target, whatever the trigger looks like. The margin is
    climbed in [0, 1] from several images of noise, for all outputs in one batch. The statistic is the largest score
    minus the median of the others, so that it does not follow how sure a model is of everything.

    Paper: Wang, Xiang, Miller and Kesidis (2024), https://arxiv.org/abs/2205.06900, section 3.
    Departs from it: Adam with a step that falls to 0, projected onto [0, 1], instead of plain ascent with a fixed step
    through a clamp, behind which pixels that leave [0, 1] get stuck; the best point of a search counts instead of the
    last; 8 starts instead of 30; of a finding, the margin is its logit; clean twins instead of a Gamma distribution
    fitted to the other outputs, of which a few classes have too few.
    Blind to: backdoors without one target (all-to-all), or with most outputs as targets; outputs that an honest model
    is surest of by far, such as a large class, but for what clean twins show of it.
    """

    name: ClassVar[str] = "mm-bd"
    needs_images: ClassVar[bool] = False

    starts: int = 8
    """Images of noise to climb from, for each output."""
    steps: int = 100
    """Most gradient evaluations for each start."""
    step: Number = 0.05
    """First step, in image units; it falls linearly to 0."""
    at_once: int = 512
    """Images that the model is asked about at a time."""

    def __post_init__(self) -> None:
        """Check the domains."""
        for name in ("starts", "steps", "at_once"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        if not 0 < self.step < math.inf:
            raise InputError(f"step must be a positive number, got {self.step!r}")

    def statistic(self, scores: Scores) -> float:
        """Return the largest score minus the median of the others; of one output, its score."""
        if len(scores) == 1:
            return float(scores[0])
        ordered = scores.sort().values
        return float(ordered[-1] - ordered[:-1].quantile(0.5))

    def search(self, model: Counted, images: Images, *, seed: int, watch: Watch) -> Found:
        """Climb from noise; return the largest margin of each output and the image that has it."""
        names, shape = model.task.classes, tuple(images.shape[1:])
        begun = [torch.rand((self.starts, *shape), generator=stream(seed, "begin", name)) for name in names]
        best = torch.stack(begun).to(images)
        place, left = best, torch.arange(len(names), device=images.device)
        most, last = images.new_full((len(names), self.starts), -torch.inf), images.new_full((len(names),), -torch.inf)
        adam = Adam((best,), fast=FAST, slow=SLOW)
        for number in range(self.steps + 1):
            reached, uphill = self._climbed(model, place, left)
            better = reached > most[left]
            most[left] = torch.where(better, reached, most[left])
            best[left] = torch.where(better.reshape(*better.shape, *(1,) * len(shape)), place, best[left])
            (moved,) = adam.move((place,), (-uphill,), self.step * (1 - number / (self.steps + 1)))
            place = moved.clamp(0, 1)
            watch(Progress(done=number, of=self.steps, left=len(left)))
            if number and number % math.ceil(self.steps / CHECKS) == 0:
                top = most[left].amax(1)
                stay = (top - last[left] > GAIN * top.abs()).nonzero()[:, 0]
                last[left] = top
                left, place = left[stay], place[stay]
                adam.keep(stay)
            if not len(left):
                break
        which = most.argmax(1)
        return Found(
            scores=most.amax(1),
            reached=(most > 0).float().mean(1),
            masks=images.new_ones((len(names), *shape[1:])),
            pictures=best[torch.arange(len(names), device=images.device), which],
        )

    def _climbed(self, model: Counted, place: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
        """Return the margin of every start of these outputs, and its gradient."""
        flat, outputs = place.flatten(0, 1), left.repeat_interleave(self.starts)
        found = []
        for part, wanted in zip(torch.split(flat, self.at_once), torch.split(outputs, self.at_once), strict=True):
            logits, uphill = input_gradient(model, partial(_margins, model, wanted), part)
            found.append((margins(model.task, logits, wanted), uphill))
        reached, uphills = (torch.cat(parts) for parts in zip(*found, strict=True))
        return reached.reshape(place.shape[:2]), uphills.reshape(place.shape)


def _margins(model: Counted, wanted: Tensor, logits: Logits) -> PerImage:
    return margins(model.task, logits, wanted)
