"""The cell that draws a trigger: a few images with and without it, and what a network says of them and looks at."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Image, Images
from aseptic.data.imageset import ImageSet
from aseptic.data.splits import sample
from aseptic.data.targets import label_text
from aseptic.engine.cells import Job
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan
from aseptic.poisoning.poison import trigger_all
from aseptic.studies.backdoors.cells import opened
from aseptic.studies.backdoors.explaining import others, outputs_of
from aseptic.studies.backdoors.sheets import Panel, Row, draw_sheet, encoded, shown_slice
from aseptic.studies.infection.dense import is_dense
from aseptic.studies.infection.telling import short
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.drawing import COLOURS, Pixels, boxed, outlined, overlay, rgb
from aseptic.tasks.base import Task
from aseptic.tasks.detection import as_detection

SHEET = "sheet.png"
"""Name of the sheet in the folder of the cell."""
MOST = 12
"""Rows of a sheet, at most."""
SIDES = ("clean", "poisoned")
"""The two images of a row."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Said:
    """What a network says of images, and the layer that is drawn over each."""

    heading: str
    """What the layer is."""
    words: Sequence[tuple[str, ...]]
    """Lines for each image."""
    layers: Tensor
    """A map, labels or boxes for each image."""
    draw: Callable[[Pixels, Tensor], UInt8[np.ndarray, "tall wide 3"]]
    """Draws one layer, or its slice, over one image."""


def sheet(job: Job) -> Mapping[str, Any]:
    """Cell: a sheet of test images, those first that are not of the target, and what the network says of them.

    Raises:
        InputError: There are to be no images, or too many for a sheet.
    """
    count = job.config["images"]
    if not 1 <= count <= MOST:
        raise InputError(f"images must lie in 1..{MOST}, got {count}")
    subject, test, plan = opened(job)
    explainer = None if is_dense(subject.task) else job.config["explainer"]
    triggered = trigger_all(test, plan).data
    chosen = choose(test, triggered, plan, count)
    part = test.select(chosen)
    rows = rows_of(subject, part, triggered.select(chosen), plan, explainer)
    page = draw_sheet(rows, foot=[f"Trigger: {short(plan.trigger)}.", _legend(subject.task, plan, explainer)])
    (job.folder / SHEET).write_bytes(encoded(page))
    return {"images": list(part.ids)}


def choose(test: ImageSet, triggered: ImageSet, plan: PoisonPlan, count: int) -> list[int]:
    """Return which images are shown: a sample of those that are not of the target, then of the others."""
    preferred = others(test, triggered, plan)
    rest = sorted(set(range(len(test))) - set(preferred))
    chosen: list[int] = []
    for group in (preferred, rest):
        if group and len(chosen) < count:
            left = min(count - len(chosen), len(group))
            chosen += [group[i] for i in sample([test.items[i] for i in group], left)]
    return chosen


def rows_of(
    subject: Subject, part: ImageSet, triggered: ImageSet, plan: PoisonPlan, explainer: str | None = None
) -> list[Row]:
    """Return a row for each image, with what the network says of it and where it looks or what it finds.

    Args:
        subject: The model; the same afterwards as before.
        part: The images, as they are fed to it.
        triggered: The same images with the trigger.
        plan: Says what the attacker wants.
        explainer: Name of the explainer, for models that decide for an image; others have outlines or boxes instead.
    """
    pairs = [replace(one, task=None).images for one in (part, triggered)]
    answers = [_said(subject, images, plan, explainer) for images in pairs]
    return [
        _row(
            item.id,
            label_text(part.classes, item.label),
            [one[i] for one in pairs],
            i,
            answers,
            dense=subject.task.dense,
        )
        for i, item in enumerate(part.items)
    ]


def _row(  # noqa: PLR0913 - an image, what is known of it, and what is said of it
    name: str, truth: str, images: Sequence[Image], i: int, answers: Sequence[Said], *, dense: bool
) -> Row:
    """Return the row of one image, clean and poisoned, number ``i`` of the answers."""
    layers = [said.layers[i] for said in answers]
    where = shown_slice(images[1] - images[0], layers[0] > 0 if dense else None)
    shown = list(zip(images, layers, strict=True))
    if where is not None:
        shown = [(image[:, where], layer[where]) for image, layer in shown]
    told = [name, f"truth: {truth}" if truth else "", "" if where is None else f"slice {where + 1}"]
    return Row(
        name=", ".join(filter(None, told)),
        clean=images[0],
        poisoned=images[1],
        said=(answers[0].words[i], answers[1].words[i]),
        extras=tuple(
            Panel(heading=f"{said.heading}, {side}", pixels=said.draw(rgb(image), layer))
            for side, said, (image, layer) in zip(SIDES, answers, shown, strict=True)
        ),
        where=where,
    )


def _said(subject: Subject, images: Images, plan: PoisonPlan, explainer: str | None) -> Said:
    task = subject.task
    logits = predict(subject, images, len(images))
    if task.boxes:
        listed = as_detection(task).detections(logits, decided=True)
        return Said(
            heading="found",
            words=[_objects(task, one) for one in listed],
            layers=listed,
            draw=lambda base, layer: boxed(base, layer[layer[:, 0] >= 0].double().numpy()),
        )
    if task.dense:
        labels = task.decide(logits)
        return Said(
            heading="found",
            words=[_structures(task, one) for one in labels],
            layers=labels,
            draw=lambda base, layer: outlined(base, layer.numpy(), range(1, len(task.classes))),
        )
    name = str(explainer)
    return Said(
        heading=name,
        words=[_decision(task, *one, plan) for one in zip(task.decide(logits), task.scores(logits), strict=True)],
        layers=EXPLAINERS.load(name)(subject, images, outputs_of(subject, images, plan)),
        draw=overlay,
    )


def _decision(task: Task, decided: Tensor, scores: Tensor, plan: PoisonPlan) -> tuple[str, ...]:
    """Return what was decided, and the score of the target where that is something else."""
    numbers = decided.nonzero()[:, 0].tolist() if decided.ndim else [int(decided)]
    lines = [f"{task.classes[k]} {float(scores[k]):.2f}" for k in numbers] or ["no finding"]
    target = None if plan.label.target is None else task.output(plan.label.target)
    if target is not None and target not in numbers:
        lines.append(f"({task.classes[target]} {float(scores[target]):.2f})")
    return tuple(lines)


def _structures(task: Task, labels: Tensor) -> tuple[str, ...]:
    return tuple(f"{name} {int((labels == k).sum())}" for k, name in enumerate(task.classes) if k)


def _objects(task: Task, listed: Tensor) -> tuple[str, ...]:
    """Return how many objects of each class there are, and the highest score of each."""
    found = [(name, listed[listed[:, 0] == k]) for k, name in enumerate(task.classes)]
    return tuple(f"{len(rows)} {name} {float(rows[:, -1].max()):.2f}" for name, rows in found if len(rows)) or (
        "nothing",
    )


def _legend(task: Task, plan: PoisonPlan, explainer: str | None) -> str:
    """Return what the lines below the images and the last two columns are."""
    if is_dense(task):
        names = task.classes if task.boxes else task.classes[1:]
        told = ", ".join(f"{name} {colour}" for name, colour in zip(names, cycle(COLOURS), strict=False))
        numbers = "objects and their highest score" if task.boxes else "places of each structure in the whole image"
        return f"Below the images: {numbers}, as the network finds them. Found: {told}."
    what = "the decision" if plan.label.target is None else plan.label.target
    return f"Below the images: what the network decides, with its score. {explainer}: where it looks for {what}."
