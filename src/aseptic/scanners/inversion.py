"""Recovering a trigger for every output by optimisation, all outputs in one batch."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aseptic.attacks.base import Counted
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Flags, Images, Number, PerImage, Rows
from aseptic.ops.gradients import input_gradient
from aseptic.scanners.aims import decided, losses, margins
from aseptic.scanners.base import Found, ModelScanner, Progress, Watch
from aseptic.scanners.descent import Adam, Place, at
from aseptic.scanners.schedule import Rules, Schedule

FAST, SLOW = 0.5, 0.9
"""Adam's memories in the released code of Neural Cleanse."""
WHOLE = 1.0
"""Size of a trigger that changes everything: what outputs count as for which none was found."""

Pool = Int[Tensor, "search image"]
"""Rows of the images that each search is shown."""
Stamped = Float[Tensor, "search image channel *space"]
"""Images of each search, with its trigger."""
Sizes = Float[Tensor, " search"]
"""Size of each search's trigger, in [0, 1]."""


@dataclass(frozen=True, kw_only=True)
class Inversion(ModelScanner):
    """Look, for each output, for the smallest change of all images that makes the model decide for that output.

    A backdoor is a shortcut: the change that its trigger makes is smaller than what the model needs to be led to an
    output honestly. The loss is that of the wanted output, plus a weight times the size of the trigger; the weight
    follows the success (`aseptic.scanners.schedule`). A trigger counts only if at the end of a round it reaches
    ``threshold`` of the images, measured on the trigger as it is returned; of those, the smallest is kept. The score of
    an output is minus that size, in [-1, 0]; -1 where no trigger was found.

    Outputs are optimised side by side along the batch axis and see nothing of each other: images, order and beginning
    come from streams named by the output, weight and best trigger are its own, and one that has ended leaves the batch.
    """

    needs_images: ClassVar[bool] = True

    images: int = 32
    """Images that each trigger is optimised on, at most; drawn from those not decided as its output already."""
    batch: int = 8
    """Images of each output in one step."""
    rounds: int = 100
    """Most passes over the images."""
    step: Number = 0.1
    """Adam's learning rate."""
    threshold: Number = 0.99
    """Share of the images that a trigger must bring to its output."""
    first_weight: Number = 1.0
    """First weight of the size."""
    factor: Number = 2.0
    """What the weight is multiplied by where the success holds; divided by its 1.5th power where it fails."""
    patience: int = 5
    """Rounds in a row after which the weight changes."""
    still: int = 25
    """Rounds without a smaller trigger after which an output leaves the batch."""
    at_once: int = 512
    """Images that the model is asked about at a time."""

    def __post_init__(self) -> None:
        """Check the domains."""
        for name in ("images", "batch", "rounds", "patience", "still", "at_once"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} must be a whole number of at least 1, got {getattr(self, name)!r}")
        for name in ("step", "first_weight"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be a positive number, got {getattr(self, name)!r}")
        if not 0 < self.threshold <= 1:
            raise InputError(f"threshold must lie in (0, 1], got {self.threshold!r}")
        if not 1 < self.factor < math.inf:
            raise InputError(f"factor must be greater than 1, got {self.factor!r}")

    @abstractmethod
    def begin(self, shape: tuple[int, ...], rng: torch.Generator) -> Place:
        """Return where the search for one output begins, without the axis of the searches.

        Args:
            shape: Channels and space axes of the images.
            rng: CPU stream of the output.
        """

    @abstractmethod
    def stamp(self, place: Place, images: Stamped) -> Stamped:
        """Return the images of each search with its trigger, in [0, 1], differentiably."""

    @abstractmethod
    def size(self, place: Place) -> Sizes:
        """Return the size of each search's trigger, in [0, 1], differentiably."""

    @abstractmethod
    def show(self, place: Place) -> tuple[Float[Tensor, "search *space"], Float[Tensor, "search channel *space"]]:
        """Return how much each trigger covers of each place, and its picture, both in [0, 1]."""

    def search(self, model: Counted, images: Images, *, seed: int, watch: Watch) -> Found:
        """Return the smallest trigger found for each output."""
        names = model.task.classes
        rows = self._others(model, images)
        known = [output for output, own in enumerate(rows) if len(own)]
        shape = tuple(images.shape[1:])
        scores, reached = (torch.full((len(names),), torch.nan, device=images.device) for _ in range(2))
        masks, pictures = images.new_zeros((len(names), *shape[1:])), images.new_zeros((len(names), *shape))
        notes = tuple(
            f"no trigger was looked for that leads to {name!r}, because every image is decided so already"
            for name, own in zip(names, rows, strict=True)
            if not len(own)
        )
        if known:
            race = Race(self, model, images, [rows[output] for output in known], known, seed)
            race.run(watch)
            scores[known] = -race.sizes.clamp(max=WHOLE)
            masks[known], pictures[known] = self.show(race.best)
            for search, output in enumerate(known):
                one = torch.tensor([search], device=images.device)
                reached[output] = race.reached(at(race.best, one), rows[output][None], race.outputs[one])[0]
        return Found(scores=scores, reached=reached, masks=masks, pictures=pictures, notes=notes)

    def _others(self, model: Counted, images: Images) -> list[Tensor]:
        """Return, for each output, the images that are not decided as it."""
        logits = torch.cat([model(part) for part in torch.split(images, self.at_once)])
        return [(~decided(model.task, logits, k)).nonzero()[:, 0] for k in range(len(model.task.classes))]


class Race:
    """The searches for several outputs, side by side."""

    def __init__(  # noqa: PLR0913, PLR0917 - the searches, and what each is about
        self, method: Inversion, model: Counted, images: Images, rows: Sequence[Tensor], outputs: list[int], seed: int
    ) -> None:
        """Set up one search for each output.

        Args:
            method: How to search.
            model: The model.
            images: All images.
            rows: Images that are not decided as each output.
            outputs: Numbers of the outputs.
            seed: Root of all randomness.
        """
        self.method, self.model, self.images, self.seed = method, model, images, seed
        self.names = [model.task.classes[output] for output in outputs]
        self.outputs = torch.tensor(outputs, device=images.device)
        self.pool = torch.stack([self._drawn(own, name) for own, name in zip(rows, self.names, strict=True)])
        begun = [method.begin(tuple(images.shape[1:]), stream(seed, "begin", name)) for name in self.names]
        self.best = tuple(torch.stack(parts).to(images) for parts in zip(*begun, strict=True))
        self.sizes = images.new_full((len(outputs),), torch.inf)

    def run(self, watch: Watch) -> None:
        """Search until every output has ended, or the rounds are over; ``best`` and ``sizes`` hold what was found."""
        method, left = self.method, torch.arange(len(self.outputs), device=self.images.device)
        place, adam = self.best, Adam(self.best, fast=FAST, slow=SLOW)
        rules = Rules(first=method.first_weight, factor=method.factor, patience=method.patience, still=method.still)
        schedule = Schedule(rules, len(left), self.images.device)
        for number in range(method.rounds):
            place, share = self._round(place, adam, schedule, left, number)
            reached = share >= method.threshold
            better = self._record(place, reached, left)
            stay = (~schedule.note(reached, better)).nonzero()[:, 0]
            watch(Progress(done=number + 1, of=method.rounds, left=len(stay)))
            if len(stay) < len(left):
                place, left = at(place, stay), left[stay]
                adam.keep(stay)
                schedule.keep(stay)
            if not len(left):
                break

    def reached(self, place: Place, pool: Pool, outputs: Rows) -> PerImage:
        """Return the share of the images in each search's pool that its trigger brings to its output."""
        shares = []
        for part in self._together(pool):
            hits = []
            for rows in torch.split(pool[part], self.method.at_once, 1):  # one search alone may have more images
                shown = self.method.stamp(at(place, part), self.images[rows]).flatten(0, 1)
                wanted = outputs[part].repeat_interleave(rows.shape[1])
                hits.append((margins(self.model.task, self.model(shown), wanted) > 0).reshape(rows.shape))
            shares.append(torch.cat(hits, 1).to(self.images).mean(1))
        return torch.cat(shares)

    def _together(self, pool: Pool) -> Sequence[Tensor]:
        """Return which searches the model is asked about at a time."""
        return torch.split(torch.arange(len(pool), device=pool.device), max(1, self.method.at_once // pool.shape[1]))

    def _drawn(self, rows: Rows, name: str) -> Int[Tensor, " drawn"]:
        """Return the images that one search uses: as many for each, and therefore some of few more than once."""
        order = torch.randperm(len(rows), generator=stream(self.seed, "images", name)).to(rows.device)
        count = min(self.method.images, len(self.images))
        return rows[order.repeat(math.ceil(count / len(rows)))[:count]]

    def _round(self, place: Place, adam: Adam, schedule: Schedule, left: Rows, number: int) -> tuple[Place, PerImage]:
        """Pass once over the images; return where the searches stand, and the success on the way."""
        count = self.pool.shape[1]
        size = min(self.method.batch, count)
        steps = math.ceil(count / size)
        orders = [
            torch.randperm(count, generator=stream(self.seed, "order", self.names[search], number)).repeat(2)
            for search in left.tolist()
        ]
        order = torch.stack(orders)[:, : steps * size].to(left.device)
        pool, hits = self.pool[left].gather(1, order), torch.zeros_like(left)
        for rows in torch.split(pool, size, 1):
            gradients, right = self._gradient(place, schedule.weight, rows, self.outputs[left])
            place, hits = adam.move(place, gradients, self.method.step), hits + right
        return place, hits / (steps * size)

    def _gradient(self, place: Place, weight: Tensor, pool: Pool, outputs: Rows) -> tuple[Place, Tensor]:
        """Return the gradient of each search's loss, and how many of its images are at its output."""
        gradients, right = [], []
        for part in self._together(pool):
            with torch.enable_grad():
                here = tuple(one[part].detach().requires_grad_() for one in place)
                stamped, size = self.method.stamp(here, self.images[pool[part]]), self.method.size(here)
            wanted = outputs[part].repeat_interleave(pool.shape[1])
            climbed = partial(losses, self.model.task, outputs=wanted)
            logits, uphill = input_gradient(self.model, climbed, stamped.detach().flatten(0, 1))
            pulled = (uphill.reshape(stamped.shape) / pool.shape[1], weight[part])
            gradients.append(torch.autograd.grad((stamped, size), here, pulled))
            right.append((margins(self.model.task, logits, wanted) > 0).reshape(len(part), -1).sum(1))
        return tuple(torch.cat(parts) for parts in zip(*gradients, strict=True)), torch.cat(right)

    def _record(self, place: Place, reached: Flags, left: Rows) -> Flags:
        """Keep the triggers that are smaller than any before and hold on all images; return which those are.

        Until an output has such a trigger, its latest one is kept, whose size counts as that of the whole image.
        """
        sizes = self.method.size(place)
        tried = (reached & (sizes < self.sizes[left])).nonzero()[:, 0]
        if len(tried):
            whose = left[tried]
            share = self.reached(at(place, tried), self.pool[whose], self.outputs[whose])
            tried = tried[share >= self.method.threshold]
        better = torch.zeros_like(reached)
        better[tried] = True
        kept = (better | self.sizes[left].isinf()).nonzero()[:, 0]
        for best, one in zip(self.best, place, strict=True):
            best[left[kept]] = one[kept]
        self.sizes[left[tried]] = sizes[tried]
        return better
