"""One thing learned for many images (a perturbation, a sticker), and how it is kept in a file with its facts."""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from torch import Tensor

from aseptic.attacks.base import Threat
from aseptic.attacks.checks import check_request
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.tensors import read_tensors, write_tensors
from aseptic.core.types import Images, Number, Targets
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

Stamp = Callable[[Tensor, Images, Sequence[torch.Generator]], Images]
"""What is learned, images and one stream for each of them, to images that show it; differentiable."""
Move = Callable[[Tensor, Tensor], Tensor]
"""What is learned and its gradient, to what it is after a step."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """How often and how far.

    Raises:
        InputError: A number has no meaning.
    """

    epochs: int
    """Passes over the images."""
    step: Number
    """Length of one step, as a fraction of the radius (perturbation) or in image units (sticker)."""
    batch_size: int
    """Images behind one step."""
    clip: Number
    """Objective above which an image counts no more: those that have long fallen do not lead the way."""
    restarts: int
    """Times that it is learned, from different beginnings; what fools most of the images is kept."""
    seed: int
    """Root of all randomness."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.epochs < 1:
            raise InputError(f"epochs must be a whole number of at least 1, got {self.epochs!r}")
        if not (math.isfinite(self.step) and self.step > 0):
            raise InputError(f"step must be a positive number, got {self.step!r}")
        if self.restarts < 1:
            raise InputError(f"restarts must be a whole number of at least 1, got {self.restarts!r}")
        if math.isnan(self.clip):
            raise InputError(f"clip must be a number, got {self.clip!r}")


def as_models(models: Subject | Sequence[Subject]) -> tuple[Subject, ...]:
    """Return the models as a tuple.

    Raises:
        InputError: There is none, or they do not have the same task.
    """
    found = (models,) if isinstance(models, Subject) else tuple(models)
    if not found:
        raise InputError("models must be at least one, got none")
    if any(model.task != found[0].task for model in found):
        raise InputError(f"models must have one task, got {[list(model.task.classes) for model in found]}")
    return found


def learn(  # noqa: PLR0913 - what is learned, from what, how; by keyword
    models: Sequence[Subject],
    images: Tensor,
    targets: Targets,
    threat: Threat,
    *,
    begin: Callable[[int], Tensor],
    stamp: Stamp,
    move: Move,
    course: Course,
) -> tuple[Tensor, dict[str, JsonValue]]:
    """Climb the mean clipped objective of the eligible images over all models; return what was learned, and the facts.

    Args:
        models: They are the same afterwards as before.
        images: What to learn from, as `aseptic.attacks.running.run` takes them.
        targets: True classes or findings.
        threat: Goal and budget.
        begin: Number of the restart to what is there before its first step.
        stamp: Shows what is learned on images.
        move: Takes a step.
        course: How often and how far.

    Raises:
        InputError: Images, targets and goal do not fit the models, no image is eligible, or there is no gradient.
    """
    task = models[0].task
    check_request(
        task, images, targets, threat.goal, names=[str(row) for row in range(len(images))], batch_size=course.batch_size
    )
    eligible = threat.goal.applies(task, targets).nonzero()[:, 0]
    if len(eligible) == 0:
        raise InputError(f"some image must be eligible for the goal ({threat.goal.describe()}), got none")
    found, most = begin(0), -1
    with ExitStack() as guards:
        for model in models:
            guards.enter_context(untouched(model))
        for restart in range(course.restarts):
            learned = begin(restart)
            for epoch in range(course.epochs):
                order = torch.randperm(len(eligible), generator=stream(course.seed, "order", restart, epoch))
                for rows in torch.split(eligible[order.to(eligible.device)], course.batch_size):
                    rng = [stream(course.seed, "learn", epoch, row) for row in rows.tolist()]
                    some = images[rows], targets[rows]
                    gradient = _gradient(models, *some, threat, learned=learned, stamp=stamp, rng=rng, clip=course.clip)
                    learned = move(learned, gradient)
            reached = sum(
                _reached(model, images[rows], targets[rows], threat, learned=learned, stamp=stamp, rows=rows.tolist())
                for model in models
                for rows in torch.split(eligible, course.batch_size)
            )
            if reached > most:
                found, most = learned, reached
    names: list[JsonValue] = [model.name for model in models]
    return found, {
        "goal": threat.goal.describe(),
        "norm": threat.budget.norm,
        "radius": threat.budget.radius,
        "epochs": course.epochs,
        "step": course.step,
        "batch_size": course.batch_size,
        "clip": course.clip,
        "restarts": course.restarts,
        "seed": course.seed,
        "models": names,
        "images": len(eligible),
        "reached": most / (len(models) * len(eligible)),
    }


def _gradient(  # noqa: PLR0913 - what is learned, from what; by keyword
    models: Sequence[Subject],
    images: Images,
    targets: Targets,
    threat: Threat,
    *,
    learned: Tensor,
    stamp: Stamp,
    rng: Sequence[torch.Generator],
    clip: Number,
) -> Tensor:
    leaf = learned.detach().requires_grad_()
    with torch.enable_grad():
        shown = stamp(leaf, images, rng)
        total = torch.zeros((), device=images.device)
        for model in models:
            logits = _answers(model, shown).to(images.device)
            total = total + threat.goal.objective(model.task, logits, targets).clamp(max=clip).mean()
    if not total.requires_grad:
        raise InputError("the model must be differentiable: its logits carry no gradient to the images")
    (gradient,) = torch.autograd.grad(total / len(models), leaf)
    return gradient


@torch.no_grad()
def _reached(  # noqa: PLR0913 - what is learned, from what; by keyword
    model: Subject,
    images: Images,
    targets: Targets,
    threat: Threat,
    *,
    learned: Tensor,
    stamp: Stamp,
    rows: Sequence[int],
) -> int:
    shown = stamp(learned, images, [stream(0, "shown", row) for row in rows])
    logits = _answers(model, shown).to(images.device)
    return int((threat.goal.margin(model.task, logits, targets) > 0).sum())


def _answers(model: Subject, images: Images) -> Tensor:
    first = next(model.parameters(), None)
    logits: Tensor = model(images if first is None else images.to(first.device))
    return logits


def write_learned(path: Path, kind: str, learned: Tensor, facts: Mapping[str, JsonValue]) -> None:
    """Write what was learned as safetensors, with its facts in the metadata; the file appears whole or not at all."""
    write_tensors(path, kind, {kind: learned}, facts)


def read_learned(path: Path, kind: str) -> tuple[Tensor, dict[str, JsonValue]]:
    """Return what `write_learned` wrote.

    Raises:
        InputError: The file is absent or damaged, or holds something else.
    """
    tensors, facts = read_tensors(path, kind, [kind])
    return tensors[kind], facts


def check_learned(name: str, learned: Tensor) -> None:
    """Raise `InputError` unless this is one finite float32 picture ``[channel, *space]``, of two or three axes."""
    if learned.dtype != torch.float32 or learned.ndim not in {3, 4}:
        raise InputError(
            f"a {name} must be float32 with 2 or 3 space axes [channel, *space], got {learned.dtype} {[*learned.shape]}"
        )
    if not learned.isfinite().all():
        raise InputError(f"a {name} must be finite, got {int((~learned.isfinite()).sum())} values that are not")
