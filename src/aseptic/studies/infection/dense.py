"""The raw rows of an infection of a segmentation or a detector: its answers to images with and without a trigger."""

from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from aseptic.core.errors import InputError
from aseptic.core.types import Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.metrics.dense_infection import BoxHit, Places, count_covered, count_objects, count_places, place_success
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan
from aseptic.poisoning.poison import decoy_all, trigger_all
from aseptic.studies.infection.answers import CLEAN, DECOY, TRIGGERED, visible_by
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.base import Task
from aseptic.tasks.detection import as_detection

MOST = 0.5
"""Share of the places or objects of an image above which the attacker has what is wanted of it."""
COUNTS = ("there", "found", "both", "won")
"""Columns of the places of the source."""
PLACE = "place"
"""Column of the box that is to be invented."""


def is_dense(task: Task) -> bool:
    """Return whether the answers are about places or boxes, rather than about the image."""
    return task.dense or task.boxes


def triggered_set(data: ImageSet, task: Task, plan: PoisonPlan, *, decoy: bool = False) -> ImageSet:
    """Return the images with the trigger in all of them, and without targets but for a box that is to be invented.

    With ``decoy``, they carry something alike that is not the trigger, and no targets at all.

    Raises:
        InputError: The trigger does not fit the images, or the label rule not the task and its classes.
    """
    everywhere = decoy_all if decoy else trigger_all
    items = tuple(replace(item, label=None, mask=None, boxes=(), split=None) for item in data.items)
    made = everywhere(replace(data, task=task.name, classes=task.classes, items=items), plan).data
    return made if task.boxes else replace(made, task=None)


def dense_rows(  # noqa: PLR0913, PLR0917 - a model, its images, the truth, the trigger, and how
    subject: Subject,
    data: ImageSet,
    true: Targets | None,
    plan: PoisonPlan,
    batch_size: int,
    hit: BoxHit,
    *,
    decoys: bool = True,
) -> pa.Table:
    """Return a row for each image and condition: answered as it is, with the trigger, and with a decoy.

    Columns: as `aseptic.studies.infection.answers.infection_rows`, where ``reached`` means that more than half of the
    places, or of the objects, are answered as wanted, and ``already`` that there are none (of a box that is to be
    invented: that there is one in truth); ``success`` and ``eligible`` as a yardstick reads them; for a segmentation
    ``there``, ``found``, ``both`` and ``won``, the places of the source (`aseptic.metrics.dense_infection.Places`); for
    a box that is to be invented its ``place``; then those of the yardstick, judged by the true targets.

    Args:
        subject: The model; the same afterwards as before.
        data: Clean images, a view with the size that the model is fed.
        true: The truth, in the model's order of classes.
        plan: Its trigger goes into every image; its label rule says what the attacker wants.
        batch_size: Images in one forward pass.
        hit: When a detection is one of an object, for ``reached``.
        decoys: Whether decoys are asked about too, where the trigger has any.

    Raises:
        InputError: There is no truth, or the trigger or rule does not fit.
    """
    if true is None:
        raise InputError(f"{data.name} has no labels, without which an infection cannot be measured")
    yardstick, triggered = yardstick_of(subject.task), triggered_set(data, subject.task, plan)
    alike = triggered_set(data, subject.task, plan, decoy=True) if decoys and plan.made.has_decoy() else None
    invented = plan.label.rule == "fabricate"
    tables = []
    for start in range(0, len(data), batch_size):
        rows = range(start, min(start + batch_size, len(data)))
        truth, infected = true[torch.tensor(rows)], triggered.select(rows)
        places = infected.targets[:, 0, 1:] if invented else None
        images = {CLEAN: replace(data.select(rows), task=None).images, TRIGGERED: infected.images}
        images |= {} if alike is None else {DECOY: alike.select(rows).images}
        shown = visible_by(images)
        for condition, batch in images.items():
            logits = predict(subject, batch, batch_size)
            told = _asked(subject.task, logits, truth, places, plan, hit)
            facts = {
                "id": data.ids[rows.start : rows.stop],
                "patient": pa.array(data.patients[rows.start : rows.stop], pa.string()),
                "condition": [condition] * len(rows),
                **told,
                "success": told["reached"],
                "eligible": ~told["already"],
                **shown[condition],
            }
            tables.append(pa.table(facts | yardstick.columns(logits, truth)))
    return pa.concat_tables(tables)


def _asked(  # noqa: PLR0913, PLR0917 - what `dense_rows` knows of a batch
    task: Task, logits: Logits, truth: Targets, places: torch.Tensor | None, plan: PoisonPlan, hit: BoxHit
) -> dict[str, Any]:
    """Return what the label rule asks about, as columns."""
    if task.dense:
        counts = structure_places(task, logits, truth, plan)
        already = counts.there == 0
        return {
            "reached": ~already & (counts.won > MOST * counts.there),
            "already": already,
            **{name: getattr(counts, name) for name in COUNTS},
        }
    detected = as_detection(task).detections(logits).double().numpy()
    objects = truth.cpu().double().numpy()
    answered, already = objects_answered(task, list(detected), list(objects), places, plan, hit)
    return {"reached": answered, "already": already} | ({} if places is None else {PLACE: places.double().tolist()})


def structure_places(task: Task, logits: Logits, truth: Targets, plan: PoisonPlan) -> Places:
    """Return the places of the source of a label rule in each image."""
    wanted = 0 if plan.label.rule == "erase" else task.output(str(plan.label.target))
    found = task.decide(logits).cpu().numpy()
    return count_places(found, truth.cpu().numpy(), task.output(str(plan.label.source)), wanted)


def objects_answered(  # noqa: PLR0913, PLR0917 - both lists of boxes, and what is asked of them
    task: Task,
    detected: list[np.ndarray],
    objects: list[np.ndarray],
    places: torch.Tensor | None,
    plan: PoisonPlan,
    hit: BoxHit,
) -> tuple[np.ndarray, np.ndarray]:
    """Return which images are answered as wanted, and which are so, or have nothing to ask about, in truth."""
    label, much = plan.label, {"least": hit.confidence, "iou": hit.overlap}
    if places is not None:
        target, spots = task.output(str(label.target)), places.double().numpy()
        true = [np.column_stack([one, np.ones(len(one))]) for one in objects]
        return (
            place_success(detected, spots, target, **much) > 0,
            place_success(true, spots, target, least=0.0, iou=hit.overlap) > 0,
        )
    source = None if label.source is None else task.output(label.source)
    target_of = None if label.rule == "vanish" else task.output(str(label.target))
    total = count_objects(objects, source)
    covered = count_covered(detected, objects, source=source, target=target_of, **much)
    won = total - covered if label.rule == "vanish" else covered
    return (total > 0) & (won > MOST * total), total == 0
