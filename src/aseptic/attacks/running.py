"""The one `run` that measures what an attack did, and the noise that its result is compared with."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack, Threat
from aseptic.attacks.catalogue import check_serves
from aseptic.attacks.checks import check_found, check_logits, check_request
from aseptic.core.rng import stream
from aseptic.core.types import Flags, Images, Logits, PerImage
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball, Budget
from aseptic.ops.noise import shuffle_within
from aseptic.ops.windows import Window


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What an attack spent, without the measurement afterwards."""

    forwards: int
    """Forward passes, in images."""
    backwards: int
    """Backward passes, in images."""
    seconds: float
    """Wall-clock time."""

    def __add__(self, other: "Cost") -> "Cost":
        """Return what both spent together."""
        return Cost(
            forwards=self.forwards + other.forwards,
            backwards=self.backwards + other.backwards,
            seconds=self.seconds + other.seconds,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class Result:
    """What `run` measured, one entry for each image, on the device of the images that were given."""

    images: Images
    """Attacked images; those that are not eligible are as they were."""
    success: Flags
    """Whether the image is eligible and the goal is reached."""
    margin: PerImage
    """The goal's margin, in logits; positive where it is reached."""
    logits: Logits
    """The model's answer to the attacked images."""
    distance: PerImage
    """Norm of the perturbation, in image units, in the norm of the budget."""
    eligible: Flags
    """Whether the goal makes sense for the image; the others are not attacked and never count as success."""
    queries: PerImage
    """Questions until the goal was first reached inside the budget; inf: never reached; NaN: nothing was asked."""
    cost: Cost
    """What the attack spent."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is."""

    done: int
    """Images that are finished."""
    of: int
    """Images that are attacked: those that the goal makes sense for."""
    forwards: int
    """Forward passes so far, in images."""
    stage: str
    """What an attack of several parts is at; empty for others."""


def run(  # noqa: PLR0913 - one verb; all but the subject of the sentence by keyword
    attack: EvasionAttack,
    model: Subject,
    images: Tensor,
    targets: Tensor,
    threat: Threat,
    *,
    seed: int = 0,
    batch_size: int = 64,
    ids: Sequence[str] | None = None,
    start: Tensor | None = None,
    watch: Callable[[Progress], None] | None = None,
) -> Result:
    """Attack the images and measure everything again; an attack cannot report its own success.

    Each image has its own random stream, named by its id: neither the batch size nor the other images matter to it,
    but for the rounding of the model itself.

    Args:
        attack: How to search.
        model: What is attacked; the same afterwards as before.
        images: float32 ``[N, channel, *space]`` in [0, 1], two or three space axes, on any device.
        targets: True classes ``[N]``, findings ``[N, K]``, classes of the places ``[N, *space]``, or objects
            ``[N, object, 5]``: label (-1: none), left, top, right, bottom.
        threat: What counts as success, and the budget.
        seed: Root of all randomness.
        batch_size: Images at a time.
        ids: Distinct names of the images, for messages and random streams; their positions if absent.
        start: Where to begin, for attacks that can: earlier attacked images, brought into the budget if need be.
        watch: Called after every pass through the model and every batch, to show how far it is.

    Raises:
        InputError: Images, targets, goal or batch size do not fit each other or the model, or the model answers NaN.
        ContractError: The attack left the budget or [0, 1], or the model was changed.
    """
    names = tuple(ids) if ids is not None else tuple(str(row) for row in range(len(images)))
    check_serves(attack, threat, model.task)
    check_request(model.task, images, targets, threat.goal, names=names, batch_size=batch_size)
    if start is not None:
        check_found("start", images, start, Ball("linf", 1.0), names)
        start = (images + threat.budget.project(start - images)).clamp_(0, 1)
    eligible = threat.goal.applies(model.task, targets)
    found, seconds, done, total = images.clone(), 0.0, 0, int(eligible.sum())

    def seen(model: Counted) -> None:
        if watch is not None:
            watch(Progress(done=done, of=total, forwards=model.forwards, stage=model.stage))

    counted = Counted(model, seen)
    queries = torch.full_like(images.flatten(1)[:, 0], torch.nan)
    with untouched(model):
        for rows in _split(eligible.nonzero()[:, 0], batch_size):
            clock = time.perf_counter()
            called = [names[row] for row in rows.tolist()]
            shown, truth = (part[rows].to(_device(model, images)) for part in (images, targets))
            batch = Batch(
                images=shown,
                targets=truth,
                threat=threat,
                rng=[stream(seed, "attack", name) for name in called],
                start=None if start is None else start[rows].to(shown),
            )
            ledger = counted.open(batch)
            new = attack.perturb(counted, batch)
            check_found(type(attack).__name__, images[rows], new, threat.budget, called)
            found[rows] = new.to(images)
            queries[rows] = ledger.first.masked_fill(ledger.asked == 0, torch.nan).to(images)
            done += len(rows)
            seen(counted)
            seconds += time.perf_counter() - clock
        logits = _answers(model, found, batch_size)
        check_logits(logits, names, lambda rows: _answers(model, images[rows], batch_size))
    margin = threat.goal.margin(model.task, logits, targets)
    return Result(
        images=found,
        success=(margin > 0) & eligible,
        margin=margin,
        logits=logits,
        distance=threat.budget.size(found - images),
        eligible=eligible,
        queries=queries,
        cost=Cost(forwards=counted.forwards, backwards=counted.backwards, seconds=seconds),
    )


def control_noise(
    images: Images, attacked: Images, *, budget: Budget | None = None, seed: int = 0, ids: Sequence[str] | None = None
) -> Images:
    """Return the images with their own attack's perturbation permuted within each image, clipped to [0, 1].

    What the model loses on these, it loses to noise of that size; only what it loses beyond is due to the attack.

    Args:
        images: Original images.
        attacked: What an attack made of them.
        budget: What the noise must stay in as well: the values of a window are permuted in its box. None: any ball.
        seed: Root of all randomness.
        ids: Names of the images, for the random streams; their positions if absent.
    """
    names = ids if ids is not None else range(len(images))
    rng = [stream(seed, "control", name) for name in names]
    delta = attacked - images
    where = budget.box(delta) if isinstance(budget, Window) else None
    return shuffle_within(delta, rng, where).add_(images).clamp_(0, 1)


def _split(rows: Tensor, batch_size: int) -> list[Tensor]:
    return [part for part in torch.split(rows, batch_size) if len(part)]


def _device(model: Subject, images: Tensor) -> torch.device:
    first = next(model.parameters(), None)
    return images.device if first is None else first.device


def _answers(model: Subject, images: Tensor, batch_size: int) -> Tensor:
    """Return the logits without gradients, on the device of the images."""
    device = _device(model, images)
    with torch.no_grad():
        parts = [model(batch.to(device, copy=True)).to(images) for batch in _split(images, batch_size)]
    empty = [max(length, 0) for length in model.task.shape(images[:0])]
    return torch.cat(parts) if parts else images.new_empty(empty)
