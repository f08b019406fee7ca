"""Several attacks, one after the other, each on the images that are left standing; every finished one can be stored."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import torch
from torch import Tensor

from aseptic.attacks import doubts
from aseptic.attacks.base import EvasionAttack, Threat
from aseptic.attacks.catalogue import ATTACKS, make_attack, unfit
from aseptic.attacks.checks import check_request
from aseptic.attacks.running import Cost, Result, run
from aseptic.attacks.stage_files import read_stage, stage_path, write_stage
from aseptic.core.errors import InputError
from aseptic.core.rng import derive
from aseptic.core.types import Flags, PerImage, Targets
from aseptic.models.guard import fingerprint
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.base import Task

UNCHANGED = "unchanged"
"""What an image is said to be broken by that needs no attack."""
TRIED = 16
"""Most images that are tried without a limit on the perturbation, and the steps of that attempt."""
STEPS = 20


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What one attack added."""

    name: str
    """Of the attack."""
    attacked: int
    """Images that were still standing."""
    broken: int
    """How many of these it broke."""
    cost: Cost
    """What it spent, when it was computed."""
    stored: bool
    """Whether an earlier result was read instead."""


@dataclass(frozen=True, kw_only=True, eq=False)
class BatteryResult:
    """The worst case over all stages."""

    result: Result
    """For each image the stage that broke it, else the largest margin that was reached; the cost of all together."""
    stages: tuple[Stage, ...]
    """In their order; one that no image was left for is absent."""
    by: tuple[str | None, ...]
    """For each image, the stage that broke it; ``unchanged`` for one that needs none; None for one that stands."""
    doubts: tuple[doubts.Doubt, ...]
    """Why what stands may be weaker than it looks."""


def plan(names: str, **options: int) -> dict[str, EvasionAttack]:
    """Return the attacks with these names, with commas between, each with those of the options that it has.

    Raises:
        InputError: No name, one twice or unknown, one that is an ensemble itself, or an option that is refused.
    """
    listed = [name.strip() for name in names.split(",")]
    attacks: dict[str, EvasionAttack] = {}
    for name in listed:
        kind = ATTACKS.load(name)
        known = {field.name for field in fields(kind)}
        if "stages" in known or name in attacks:
            raise InputError(f"stages must be single attacks, each once; got {names!r}")
        attacks[name] = make_attack(name, **{key: value for key, value in options.items() if key in known})
    return attacks


def fitting(
    attacks: Mapping[str, EvasionAttack], threat: Threat, task: Task
) -> tuple[dict[str, EvasionAttack], dict[str, str]]:
    """Return the attacks that serve the threat on this task, and why the others do not.

    Raises:
        InputError: None of them does.
    """
    reasons = {name: unfit(type(attack), threat, task) for name, attack in attacks.items()}
    able = {name: attack for name, attack in attacks.items() if reasons[name] is None}
    if not able:
        raise InputError(
            f"at least one stage must serve the threat; {'; '.join(f'{n} {r}' for n, r in reasons.items())}"
        )
    return able, {name: reason for name, reason in reasons.items() if reason is not None}


def run_battery(  # noqa: PLR0913 - as `run`, and where to store
    attacks: Mapping[str, EvasionAttack],
    model: Subject,
    images: Tensor,
    targets: Targets,
    threat: Threat,
    *,
    seed: int = 0,
    batch_size: int = 64,
    ids: Sequence[str] | None = None,
    folder: Path | None = None,
) -> BatteryResult:
    """Run the attacks in their order, each on the images that are left standing, and doubt the outcome.

    An image that reaches the goal unchanged is left as it is. Each stage has random streams of its own.

    Args:
        attacks: Attacks by name, as from `plan`.
        model: What is attacked; the same afterwards as before.
        images: float32 ``[N, channel, *space]`` in [0, 1].
        targets: True classes ``[N]`` or findings ``[N, K]``.
        threat: What counts as success, and the budget.
        seed: Root of all randomness.
        batch_size: Images at a time.
        ids: Distinct names of the images; their positions if absent.
        folder: Where each finished stage is stored, and read again when the same is asked once more (same attack,
            model weights, images, targets, ids, threat and seed), with the same result.

    Raises:
        InputError: No attack serves the threat; or as `run`, or a stored stage that cannot be read.
        ContractError: As `run`.
    """
    names = tuple(ids) if ids is not None else tuple(str(row) for row in range(len(images)))
    _check_queries(attacks, threat)
    able, absent = fitting(attacks, threat, model.task)
    check_request(model.task, images, targets, threat.goal, names=names, batch_size=batch_size)
    weights = fingerprint(model) if folder is not None else {}
    eligible = threat.goal.applies(model.task, targets)
    sight = doubts.look(model, images, targets, threat.goal, batch_size=batch_size)
    worst = _unchanged(images, threat, sight, threat.goal.margin(model.task, sight.logits, targets), eligible)
    by: list[str | None] = [UNCHANGED if reached else None for reached in worst.success.tolist()]
    stages: list[Stage] = []
    left = (eligible & ~worst.success).nonzero()[:, 0]
    first = len(left)
    for name, attack in able.items():
        if len(left) == 0:
            break
        part = images[left], targets[left]
        called = [names[row] for row in left.tolist()]
        own_seed = derive(seed, "stage", name)
        path = stage_path(folder, name, (attack, threat, own_seed, called), weights, part) if folder else None
        stored = path is not None and path.is_file()
        if path is not None and stored:
            found = read_stage(path, images)
        else:
            found = run(attack, model, *part, threat, seed=own_seed, batch_size=batch_size, ids=called)
            if path is not None:
                write_stage(path, found)
        worst = _worse(worst, found, left)
        broken = left[found.success]
        for row in broken.tolist():
            by[row] = name
        stages.append(Stage(name=name, attacked=len(left), broken=len(broken), cost=found.cost, stored=stored))
        left = left[~found.success]
    seen = [doubts.left_out(absent), *doubts.doubt_sight(sight.only(eligible), model.task)]
    seen.append(doubts.weaker_is_stronger([(s.name, able[s.name].needs, s.broken) for s in stages], first))
    seen.append(_without_limit(able, model, images[left[:TRIED]], targets[left[:TRIED]], threat, seed))
    return BatteryResult(
        result=worst, stages=tuple(stages), by=tuple(by), doubts=tuple(d for d in seen if d is not None)
    )


def _check_queries(attacks: Mapping[str, EvasionAttack], threat: Threat) -> None:
    """Raise `InputError` where several stages would each be given the whole of the threat's questions."""
    asking = [name for name, attack in attacks.items() if attack.needs != "gradients"]
    if threat.queries is not None and len(asking) > 1:
        raise InputError(f"a limit of {threat.queries} queries can be kept by one stage that asks, got {asking}")


def _unchanged(images: Tensor, threat: Threat, sight: doubts.Sight, margin: PerImage, eligible: Flags) -> Result:
    """Return the result of doing nothing."""
    nothing = threat.budget.size(torch.zeros_like(images))
    return Result(
        images=images.clone(),
        success=(margin > 0) & eligible,
        margin=margin,
        logits=sight.logits,
        distance=nothing,
        eligible=eligible,
        queries=nothing + torch.nan,
        cost=Cost(forwards=sight.forwards, backwards=sight.backwards, seconds=0.0),
    )


def _worse(worst: Result, found: Result, rows: Tensor) -> Result:
    """Return the worst case so far with the results for some images, where they are worse; costs are added."""
    better = found.margin > worst.margin[rows]
    chosen, merged = rows[better], {}
    for part in ("images", "success", "margin", "logits", "distance"):
        merged[part] = getattr(worst, part).index_copy(0, chosen, getattr(found, part)[better])
    asked = ~found.queries.isnan()
    merged["queries"] = worst.queries.index_copy(0, rows[asked], found.queries[asked])
    return replace(worst, **merged, cost=worst.cost + found.cost)


def _without_limit(  # noqa: PLR0913, PLR0917 - as `run`
    attacks: Mapping[str, EvasionAttack], model: Subject, images: Tensor, targets: Targets, threat: Threat, seed: int
) -> doubts.Doubt | None:
    """Try some of the images that stand with every image of [0, 1] allowed (Athalye et al., 2018, section 3)."""
    if not len(images) or all(attack.needs != "gradients" for attack in attacks.values()):
        return None
    free = replace(threat, budget=Ball("linf", 1.0))
    found = run(
        make_attack("apgd-t", steps=STEPS, random_start=False),
        model,
        images,
        targets,
        free,
        seed=derive(seed, "without limit"),
    )
    return doubts.limitless(int(found.success.sum()), len(images))
