"""One attack at many budgets of one norm, each begun where the last one ended."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack, Threat
from aseptic.attacks.running import Cost, Result, run
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.base import Goal

SHORTER = 4
"""A warm start goes on from what an earlier search found, and needs fewer steps by this factor."""
NOTHING = Cost(forwards=0, backwards=0, seconds=0.0)


def curve(  # noqa: PLR0913, PLR0917 - what `run` is given, with radii for the threat
    attack: EvasionAttack,
    model: Subject,
    images: Tensor,
    targets: Tensor,
    goal: Goal,
    norm: str,
    radii: Sequence[Number],
    *,
    seed: int = 0,
    batch_size: int = 64,
    ids: Sequence[str] | None = None,
    nested: bool = False,
) -> list[Result]:
    """Attack the images within every radius and return the results in the order of the radii.

    From the smallest radius on: what fell stays fallen, and is not attacked again. The others begin at their last
    perturbation, scaled up to the new radius, from where an attack that has steps takes a quarter of them; and where
    that does not reach the goal, at a cold start. So whatever a cold start reaches is reached here, what a smaller
    radius reaches a larger one does too, and no failure has a smaller margin than that of a cold start. An image that
    withstands a radius is therefore paid for in full within it: that is what the promise costs.

    With ``nested``, from the largest radius on, and cold: an image that withstands one radius is taken to withstand
    every smaller one, as it would if the search were perfect. An image is then attacked in vain once, not once for
    each radius.

    Args:
        attack: How to search; it must need gradients, since questions would be counted for each budget apart.
        model: What is attacked; the same afterwards as before.
        images: float32 ``[N, channel, *space]`` in [0, 1], two or three space axes, on any device.
        targets: True classes ``[N]`` or findings ``[N, K]``.
        goal: What counts as success.
        norm: Norm of all budgets.
        radii: Distinct radii, in any order.
        seed: Root of all randomness.
        batch_size: Images at a time.
        ids: Distinct names of the images, for messages and random streams; their positions if absent.
        nested: Trust that a search that fails within one radius fails within every smaller one: several times faster.

    Raises:
        InputError: No radii, equal or negative ones, an attack that asks questions, or what `run` refuses.
        ContractError: As `run`.
    """
    if attack.needs != "gradients":
        raise InputError(
            f"a curve needs an attack with gradients, got {type(attack).__name__}, which needs {attack.needs}"
        )
    if not radii or len(set(radii)) < len(radii):
        raise InputError(f"radii must be distinct numbers, at least 1, got {[*radii]}")
    names = tuple(ids) if ids is not None else tuple(str(row) for row in range(len(images)))
    threats = {radius: Threat(goal, Ball(norm, radius)) for radius in radii}

    def attacked(method: EvasionAttack, radius: Number, rows: Tensor, start: Tensor | None = None) -> Result:
        chosen = [names[row] for row in rows.tolist()]
        part = images[rows], targets[rows]
        return run(method, model, *part, threats[radius], ids=chosen, start=start, seed=seed, batch_size=batch_size)

    def moved(found: Result, factor: Number) -> Tensor:
        return (images + (found.images - images) * factor).clamp_(0, 1)

    found: dict[Number, Result] = {}
    everyone = torch.arange(len(images), device=images.device)
    for radius in sorted(radii, reverse=nested):
        last = next(reversed(found), 0)
        if not last:
            found[radius] = attacked(attack, radius, everyone)
        elif nested:
            kept = attacked(Keep(), radius, everyone, moved(found[last], radius / last))
            fell = found[last].success.nonzero()[:, 0]
            found[radius] = _best(kept, attacked(attack, radius, fell), fell)
        else:
            new = replace(found[last], cost=NOTHING)
            for method, start in ((_shorter(attack), moved(new, radius / last)), (attack, None)):
                left = (new.eligible & ~new.success).nonzero()[:, 0]
                if len(left):
                    new = _best(new, attacked(method, radius, left, None if start is None else start[left]), left)
            found[radius] = new
    return [found[radius] for radius in radii]


@dataclass(frozen=True, kw_only=True)
class Keep(EvasionAttack):
    """No search: returns the images that it is given to start from."""

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return ``start``."""
        del model
        return batch.begin


def _shorter(attack: EvasionAttack) -> EvasionAttack:
    """Return the attack with a quarter of its steps, if it has any."""
    if "steps" not in {field.name for field in fields(attack)}:
        return attack
    fewer: dict[str, Any] = {"steps": math.ceil(getattr(attack, "steps", 1) / SHORTER)}
    return replace(attack, **fewer)


def _best(one: Result, other: Result, rows: Tensor) -> Result:
    """Return ``one`` with what ``other`` found for its ``rows`` wherever that has the larger margin; costs add up."""
    better = other.margin > one.margin[rows]
    parts = {}
    for field in fields(Result):
        if field.name != "cost":
            parts[field.name] = getattr(one, field.name).clone()
            parts[field.name][rows[better]] = getattr(other, field.name)[better]
    return Result(**parts, cost=one.cost + other.cost)
