"""What a poisoned image is labelled: which rules there are, and classes and findings by them."""

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED
from aseptic.poisoning.choosing import class_number
from aseptic.poisoning.plan import PoisonPlan, Relabel

RULES = {
    "multiclass": ("to", "all-to-all", "shift", "random", "clean-label", "keep"),
    "multilabel": ("overwrite", "set", "clear", "clean-label", "keep"),
    "segmentation": ("relabel", "erase"),
    "detection": ("relabel", "vanish", "fabricate"),
}
"""Rules that make sense for a task."""
PLAIN_RULES = {"multiclass": "to", "multilabel": "set", "segmentation": "relabel", "detection": "relabel"}
"""Rule that is meant where an attacker names a target and nothing else."""
Label = int | tuple[float, ...]


def check_rule(data: ImageSet, plan: PoisonPlan) -> None:
    """Raise `InputError` where the rule is not one for the task, or changes nothing."""
    rule, allowed = plan.label.rule, RULES[str(data.task)]
    if rule not in allowed:
        raise InputError(f"the label rule of a {data.task} set must be one of {', '.join(allowed)}; got {rule!r}")
    if rule == "shift" and plan.label.by % len(data.classes) == 0:
        raise InputError(f"by must move a class to another of {len(data.classes)}, got {plan.label.by}")
    for what, name in (("source", plan.label.source), ("target", plan.label.target)):
        if data.task == MASKED and name == data.classes[0]:
            raise InputError(f"{what} must be a structure, one of {', '.join(data.classes[1:])}; got {name!r}")
    if rule == "fabricate" and plan.label.box is None and not plan.made.placed:
        raise InputError(
            f"a box can be added where the trigger is if it has a place, and {plan.trigger['name']} has none; "
            "give label.box"
        )


def wanted_label(plan: PoisonPlan, task: str) -> Relabel:
    """Return what the attacker wants images with the trigger to be taken for: of clean labels, the target."""
    if plan.label.rule == "clean-label" and plan.label.rule in RULES.get(task, ()):
        return plan.label.model_copy(update={"rule": PLAIN_RULES[task]})
    return plan.label


def relabel(item: Item, data: ImageSet, plan: PoisonPlan) -> Label:
    """Return the label that the image has once it is poisoned.

    Raises:
        InputError: The image has no label of the task.
    """
    label, rule, count = item.label, plan.label.rule, len(data.classes)
    if label is None:
        raise InputError(f"every poisoned image must have a label, got none for {item.id}")
    if rule in {"keep", "clean-label"}:
        return label
    if isinstance(label, tuple):
        target = class_number(data, str(plan.label.target))
        if rule == "overwrite":
            return tuple(float(k == target) for k in range(count))
        return tuple(float(rule == "set") if k == target else value for k, value in enumerate(label))
    if rule == "to":
        return class_number(data, str(plan.label.target))
    if rule == "random":
        return (label + 1 + int(numpy_stream(plan.seed, "wrong label", item.id).integers(count - 1))) % count
    return (label + (plan.label.by if rule == "shift" else 1)) % count
