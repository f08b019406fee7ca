"""Reasons to distrust the answer that a model withstood an attack (Croce and Hein, 2020; Carlini et al., 2019)."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from aseptic.attacks.base import Counted
from aseptic.core.types import Flags, Logits, Number, Targets
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.ops.gradients import linearise
from aseptic.tasks.base import Goal, Task

MANY = 0.05
"""Share of the images from which on something is worth a doubt."""
DIFFERENCE = 1e-4
"""Largest difference between two answers to the same image, as a share of the largest logit, that rounding explains."""
WEAKER = 0.002
"""Share of the images that the weaker attack may add without a doubt."""


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """One reason why robustness may be overestimated."""

    name: str
    """Stable short name."""
    sentence: str
    """What was seen, and what it means, in one sentence."""
    evidence: Mapping[str, Number]
    """The numbers behind it, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Sight:
    """What a model shows of itself on unchanged images, one entry for each of them."""

    logits: Logits
    """Its answers."""
    again: Logits
    """Its answers to the same images, asked a second time."""
    objective: Flags
    """Whether the goal's objective has a gradient that is finite and not zero everywhere."""
    margin: Flags
    """The same of the goal's margin."""
    forwards: int
    """Forward passes, in images."""
    backwards: int
    """Backward passes, in images."""

    def only(self, flags: Flags) -> "Sight":
        """Return what it shows on those images alone."""
        parts = {name: getattr(self, name)[flags] for name in ("logits", "again", "objective", "margin")}
        return replace(self, **parts)


def look(model: Subject, images: Tensor, targets: Targets, goal: Goal, *, batch_size: int = 64) -> Sight:
    """Ask the model twice about each image, once with the gradients of the goal's objective and margin.

    Args:
        model: What is looked at; the same afterwards as before.
        images: Unchanged images.
        targets: True classes or findings.
        goal: What an attacker would want.
        batch_size: Images at a time.

    Raises:
        InputError: The model's answers carry no gradient at all.
    """
    device = next((value.device for value in model.parameters()), images.device)
    counted, task = Counted(model), model.task
    empty = images.new_empty((0, len(task.classes)))
    found = [(empty, empty, empty[:, 0].bool(), empty[:, 0].bool())]
    with untouched(model):
        for part, truth in zip(torch.split(images, batch_size), torch.split(targets, batch_size), strict=True):
            batch, climbed = part.to(device), partial(_both, goal, task, truth.to(device))
            with torch.no_grad():
                first = counted(batch.clone())
            again, numbers, gradient = linearise(counted, climbed, batch)
            slopes = [gradient(torch.full_like(numbers[:, 0], column, dtype=torch.long)) for column in (0, 1)]
            one, other = ((slope.isfinite() & (slope != 0)).flatten(1).any(1) for slope in slopes)
            found.append((first.to(images), again.to(images), one.to(images.device), other.to(images.device)))
    logits, second, objective, margin = (torch.cat(parts) for parts in zip(*found, strict=True))
    return Sight(
        logits=logits,
        again=second,
        objective=objective,
        margin=margin,
        forwards=counted.forwards,
        backwards=counted.backwards,
    )


def _both(goal: Goal, task: Task, targets: Targets, logits: Logits) -> Tensor:
    return torch.stack([goal.objective(task, logits, targets), goal.margin(task, logits, targets)], 1)


def doubt_sight(sight: Sight, task: Task) -> tuple[Doubt, ...]:
    """Return what is doubtful about the answers to unchanged images."""
    checks = (
        masked(sight.margin),
        flat(sight.objective, sight.margin),
        at_random(sight.logits, sight.again),
        probabilities(sight.logits, task),
        saturated(sight.logits, task),
    )
    return tuple(doubt for doubt in checks if doubt is not None)


def masked(margin: Flags) -> Doubt | None:
    """Doubt a model whose margin does not change with any value of many images."""
    share = _share(~margin)
    if share < MANY:
        return None
    return Doubt(
        name="masked-gradients",
        sentence=f"The gradient is zero or not finite for {share:.0%} of the images: attacks that follow gradients are "
        "blind there, and their failure says nothing.",
        evidence={"share": share, "images": len(margin)},
    )


def flat(objective: Flags, margin: Flags) -> Doubt | None:
    """Doubt a model whose loss is flat where its margin is not."""
    share = _share(margin & ~objective)
    if share < MANY:
        return None
    return Doubt(
        name="flat-loss",
        sentence=f"The loss has no gradient for {share:.0%} of the images although the logits have one (they are too "
        "large): attacks that climb the loss are blind there.",
        evidence={"share": share, "images": len(margin)},
    )


def at_random(first: Logits, again: Logits) -> Doubt | None:
    """Doubt a model that answers the same image differently."""
    scale = first.abs().amax(1).clamp(min=torch.finfo(first.dtype).tiny)
    apart = (first - again).abs().amax(1) / scale
    share = _share(apart > DIFFERENCE)
    if share == 0:
        return None
    return Doubt(
        name="random-answers",
        sentence=f"The model answers {share:.0%} of the images differently when asked again: one gradient says little, "
        "and success and failure are partly luck.",
        evidence={"share": share, "largest_difference": float(apart.max()), "images": len(first)},
    )


def probabilities(logits: Logits, task: Task) -> Doubt | None:
    """Doubt outputs that look like probabilities although they are read as logits."""
    inside = bool(((logits >= 0) & (logits <= 1)).all())
    summed = task.name != "multiclass" or bool(((logits.sum(1) - 1).abs() < DIFFERENCE).all())
    if not (len(logits) and inside and summed):
        return None
    return Doubt(
        name="probabilities",
        sentence="The outputs look like probabilities, but are read as logits: the loss is then nearly flat (say so "
        "when the model is loaded).",
        evidence={"lowest": float(logits.min()), "highest": float(logits.max()), "images": len(logits)},
    )


def saturated(logits: Logits, task: Task) -> Doubt | None:
    """Doubt a model whose probabilities are all 0 or 1 to the last digit."""
    scores = task.scores(logits)
    share = _share(((scores == 0) | (scores == 1)).all(1))
    if share < MANY:
        return None
    return Doubt(
        name="saturated",
        sentence=f"Every probability is exactly 0 or 1 for {share:.0%} of the images: losses that are computed from "
        "them are blind there.",
        evidence={"share": share, "largest_logit": float(logits.abs().max()), "images": len(logits)},
    )


def weaker_is_stronger(broken: Sequence[tuple[str, str, int]], attacked: int) -> Doubt | None:
    """Doubt gradients where an attack that does without them breaks what attacks that follow them did not.

    Args:
        broken: For each stage, in order: its name, what it needs to see, and how many images it broke.
        attacked: Images that the first stage was given.
    """
    seen, followed = 0, False
    names = []
    for name, needs, count in broken:
        if needs == "gradients":
            followed = True
        elif followed and count:
            seen += count
            names.append(name)
    if not attacked or seen <= WEAKER * attacked:
        return None
    return Doubt(
        name="weaker-is-stronger",
        sentence=f"{' and '.join(names)}, which only asks questions, broke {seen} of {attacked} images that attacks "
        "with gradients had not: the gradients probably mislead.",
        evidence={"broken": seen, "images": attacked},
    )


def limitless(broken: int, tried: int) -> Doubt | None:
    """Doubt an attack that fails on some images even without a limit on the perturbation."""
    if broken == tried:
        return None
    return Doubt(
        name="limitless",
        sentence=f"With no limit on the perturbation the gradients led {tried - broken} of {tried} images nowhere: "
        "what stopped the attack was not the budget.",
        evidence={"broken": broken, "images": tried},
    )


def left_out(reasons: Mapping[str, str]) -> Doubt | None:
    """Doubt an ensemble that is not complete."""
    if not reasons:
        return None
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    return Doubt(
        name="left-out",
        sentence=f"Not all attacks of the ensemble took part ({told}).",
        evidence={"left_out": len(reasons)},
    )


def _share(flags: Flags) -> float:
    return float(flags.double().mean()) if len(flags) else 0.0
