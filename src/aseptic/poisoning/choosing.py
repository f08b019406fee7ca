"""Which images of a set are poisoned, and which are covers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from aseptic.core.errors import InputError, nearest
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item
from aseptic.data.imageset import ImageSet
from aseptic.poisoning.plan import PoisonPlan

Role = Literal["clean", "poison", "cover"]
LABELLED = ("multiclass", "multilabel")


def choose(data: ImageSet, plan: PoisonPlan) -> tuple[Role, ...]:
    """Return the role of each image of the set.

    Raises:
        InputError: A class is not one of the set, a split does not exist, or the rate comes to no image at all.
    """
    if data.task not in LABELLED:
        raise InputError(f"a poisoned set must be labelled for {' or '.join(LABELLED)}, got {data.task or 'no labels'}")
    for name in (*(plan.select.classes or ()), *plan.select.exclude, *filter(None, [plan.label.target])):
        class_number(data, name)
    strata = _strata(data, plan)
    roles: list[Role] = ["clean"] * len(data)
    taken = 0
    for stratum, rows in strata.items():
        groups = _groups(data, rows, plan)
        if plan.select.draw == "random":
            order = numpy_stream(plan.seed, "poison", *stratum).permutation(len(groups))
            groups = [groups[i] for i in order]
        poisoned = plan.select.quota(len(groups))
        covers = plan.select.model_copy(update={"rate": plan.cover.rate}).quota(len(groups))
        taken += poisoned
        for group in groups[:poisoned]:
            for i in group:
                roles[i] = "poison"
        for group in groups[poisoned : poisoned + covers]:
            for i in group:
                roles[i] = "cover"
    if not taken and plan.select.rate > 0:
        count = sum(map(len, strata.values()))
        raise InputError(f"rate must come to at least one of {count} candidates, got {plan.select.rate:g}")
    return tuple(roles)


def class_number(data: ImageSet, name: str) -> int:
    """Return the position of a class or finding.

    Raises:
        InputError: There is none of this name.
    """
    if name not in data.classes:
        raise InputError(f"class must be one of {', '.join(data.classes)}; got {name!r}{nearest(name, data.classes)}")
    return data.classes.index(name)


def has(item: Item, number: int) -> bool:
    """Return whether the image is of the class, or has the finding."""
    return item.label[number] == 1 if isinstance(item.label, tuple) else item.label == number


def _strata(data: ImageSet, plan: PoisonPlan) -> Mapping[tuple[str, str], list[int]]:
    """Return the candidates, in order, by split and, where the plan asks for it, by class."""
    present = {item.split for item in data.items if item.split}
    if present and not present & set(plan.splits):
        raise InputError(f"splits must be among {', '.join(sorted(present))}; got {', '.join(plan.splits)}")
    wanted = [class_number(data, name) for name in plan.select.classes or ()]
    unwanted = [class_number(data, name) for name in plan.select.exclude]
    if plan.label.rule == "clean-label" and plan.label.target is not None:
        wanted = [class_number(data, plan.label.target)]
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, item in enumerate(data.items):
        inside = item.split in plan.splits if item.split else not present
        if not inside or (wanted and not any(has(item, k) for k in wanted)) or any(has(item, k) for k in unwanted):
            continue
        found[item.split or "", str(item.label) if plan.select.per_class else ""].append(i)
    return found


def _groups(data: ImageSet, rows: Sequence[int], plan: PoisonPlan) -> list[list[int]]:
    """Return what is drawn as one: an image, or all candidates of a patient."""
    if plan.select.by == "image":
        return [[i] for i in rows]
    groups: dict[str, list[int]] = defaultdict(list)
    for i in rows:
        groups[data.items[i].patient or f"image {i}"].append(i)
    return list(groups.values())
