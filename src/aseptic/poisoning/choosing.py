"""Which images of a set are poisoned, and which are covers."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Literal

from aseptic.core.errors import InputError, nearest
from aseptic.core.rng import numpy_stream
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED
from aseptic.poisoning.contents import contents
from aseptic.poisoning.plan import PoisonPlan

Role = Literal["clean", "poison", "cover"]
LABELLED = ("multiclass", "multilabel", MASKED, "detection")
SINGLE = ("multiclass", "multilabel")
"""Tasks whose images have one label each."""


def check_names(data: ImageSet, plan: PoisonPlan) -> None:
    """Raise `InputError` where the set is not labelled, or a class that the plan names is none of its own."""
    if data.task not in LABELLED:
        allowed = f"{', '.join(LABELLED[:-1])} or {LABELLED[-1]}"
        raise InputError(f"a poisoned set must be labelled for {allowed}, got {data.task or 'no labels'}")
    if data.task == MASKED and not data.classes:
        raise InputError("classes must be given for masks that are poisoned, in the order of their numbers")
    label = plan.label
    for name in (*(plan.select.classes or ()), *plan.select.exclude, *filter(None, [label.source, label.target])):
        class_number(data, name)


def choose(data: ImageSet, plan: PoisonPlan) -> tuple[Role, ...]:
    """Return the role of each image of the set.

    Raises:
        InputError: A class is not one of the set, a split does not exist, or the rate comes to no image at all.
    """
    check_names(data, plan)
    if plan.select.per_class and data.task not in SINGLE:
        raise InputError(f"select.per_class needs images of one class each, and those of a {data.task} set have many")
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


def fitting(data: ImageSet, plan: PoisonPlan) -> tuple[bool, ...]:
    """Return which images show what the plan asks of a candidate, whatever their split.

    A label rule with a source is about images that show it, unless the plan names classes itself; ``vanish`` without a
    source is about images with any object.
    """
    label = plan.label
    named: Sequence[str] = plan.select.classes or ([label.source] if label.source is not None else [])
    if label.rule == "clean-label" and label.target is not None:
        named = [label.target]
    wanted, unwanted = ({class_number(data, name) for name in names} for names in (named, plan.select.exclude))
    any_object = label.rule == "vanish" and not wanted
    if not (wanted or unwanted or any_object):
        return (True,) * len(data)
    return tuple(
        (bool(shown) if any_object else not wanted or bool(wanted & set(shown))) and not unwanted & set(shown)
        for shown in contents(data)
    )


def _strata(data: ImageSet, plan: PoisonPlan) -> Mapping[tuple[str, str], list[int]]:
    """Return the candidates, in order, by split and, where the plan asks for it, by class."""
    present = {item.split for item in data.items if item.split}
    if present and not present & set(plan.splits):
        raise InputError(f"splits must be among {', '.join(sorted(present))}; got {', '.join(plan.splits)}")
    found: dict[tuple[str, str], list[int]] = defaultdict(list)
    inside = [i for i, item in enumerate(data.items) if (item.split in plan.splits if item.split else not present)]
    for i, fits in zip(inside, fitting(data.select(inside), plan), strict=True):
        if fits:
            item = data.items[i]
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
