"""How an infection of a segmentation or a detector is told: what is asked about, and what the attacker wants of it."""

from collections.abc import Mapping

from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.infection.telling import short
from aseptic.tasks.base import Task

PLACES = {
    True: "places of {source}",
    False: "places that the model itself takes for {source}",
}
"""What a rule on structures is about, with labels and without."""
BOXES = {
    True: "true boxes of {source}",
    False: "boxes in which the model itself finds {source}",
}
ALL_BOXES = {True: "true boxes", False: "boxes that the model itself finds"}
FREE = {
    True: "images without {target} at the place of the plan",
    False: "images in which the model itself finds no {target} at the place of the plan",
}
WANTED: Mapping[tuple[bool, str], str] = {
    (True, "relabel"): "segmented as {target}",
    (True, "erase"): "segmented as {background}",
    (False, "relabel"): "found as {target}",
    (False, "vanish"): "not found",
    (False, "fabricate"): "answered with {target} there",
}
"""Whether structures or objects, and the label rule, to the answer that the attacker wants."""


def dense_told(plan: PoisonPlan, task: Task, *, labelled: bool) -> dict[str, str]:
    """Return what is asked about, in words, for the arguments of findings.

    ``what`` is the trigger; ``noun`` what is counted, ``others`` the same with what is left out, ``wanted`` the answer.
    """
    label = plan.label
    if label.rule == "fabricate":
        noun, others = "images", FREE[labelled]
    elif task.dense:
        noun = others = PLACES[labelled]
    else:
        noun = others = (BOXES if label.source is not None else ALL_BOXES)[labelled]
    names = {"source": label.source, "target": label.target, "background": task.classes[0]}
    words = {"noun": noun, "others": others, "wanted": WANTED[task.dense, label.rule]}
    return {"what": short(plan.trigger), **{name: text.format(**names) for name, text in words.items()}}
