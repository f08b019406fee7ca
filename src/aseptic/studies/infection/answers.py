"""The raw rows of an infection: what a model says of the same images without a trigger, with it, and with a decoy."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from jaxtyping import Bool

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.metrics.distortion import distortion, pixels_changed
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan
from aseptic.poisoning.poison import decoy_all, trigger_all
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.base import Task

CLEAN, TRIGGERED, DECOY = "clean", "triggered", "decoy"
"""Conditions of the rows."""
ANY_OTHER = ("random", "keep")
"""Label rules that want no answer in particular, only another than the true one."""
Wanted = Bool[np.ndarray, " image"]


def infection_rows(
    subject: Subject, data: ImageSet, plan: PoisonPlan, batch_size: int, *, decoys: bool = True
) -> pa.Table:
    """Return a row for each image and condition: answered as it is, with the trigger, and with a decoy.

    Columns: ``id``, ``patient``, ``condition``; ``reached``, whether the answer is the one that the attacker wants;
    ``already``, whether it is the true one (where a finding is unknown, whether it is the clean answer); how visible
    the trigger is in what the network is fed (``changed`` pixels, ``psnr``, ``ssim``), or the decoy in rows of one;
    then those of the yardstick, judged by the true labels.

    Args:
        subject: The model; the same afterwards as before.
        data: Clean, labelled images, a view with the size that the model is fed.
        plan: Its trigger goes into every image; its label rule says what the attacker wants.
        batch_size: Images in one forward pass.
        decoys: Whether decoys are asked about too, where the trigger has any.

    Raises:
        InputError: The trigger or rule does not fit, or the model's task has no label rules.
    """
    yardstick = yardstick_of(subject.task)
    true = yardstick.targets(data)
    sets = {CLEAN: data, TRIGGERED: data if true is None else trigger_all(data, plan).data}
    wanted = yardstick.targets(sets[TRIGGERED])
    if true is None or wanted is None:
        raise InputError(f"{data.name} has no labels, without which an infection cannot be measured")
    if decoys and plan.made.has_decoy():
        sets[DECOY] = decoy_all(data, plan).data
    tables = []
    for start in range(0, len(data), batch_size):
        rows = range(start, min(start + batch_size, len(data)))
        here = torch.tensor(rows)
        images = {condition: one.select(rows).images for condition, one in sets.items()}
        shown = visible_by(images)
        answers = {condition: predict(subject, batch, batch_size) for condition, batch in images.items()}
        already = _already(subject.task, answers[CLEAN], true[here], wanted[here], plan)
        for condition, logits in answers.items():
            facts = {
                "id": data.ids[rows.start : rows.stop],
                "patient": pa.array(data.patients[rows.start : rows.stop], pa.string()),
                "condition": [condition] * len(rows),
                "reached": _reached(subject.task, logits, true[here], wanted[here], plan),
                "already": already,
                **shown[condition],
            }
            tables.append(pa.table(facts | yardstick.columns(logits, true[here])))
    return pa.concat_tables(tables)


def visible_by(images: Mapping[str, Images]) -> dict[str, dict[str, Any]]:
    """Return how visible the trigger or decoy is in what the network is fed, as columns, by condition."""
    pixels = {condition: batch.numpy() for condition, batch in images.items()}
    found = {one: _visible(pixels[CLEAN], changed) for one, changed in pixels.items() if one != CLEAN}
    return found | {CLEAN: found[TRIGGERED]}


def _visible(clean: np.ndarray, triggered: np.ndarray) -> dict[str, Any]:
    found = distortion(clean, triggered)
    return {"changed": pixels_changed(clean, triggered), "psnr": found.psnr, "ssim": found.ssim}


def _reached(task: Task, logits: Logits, true: Targets, wanted: Targets, plan: PoisonPlan) -> Wanted:
    """Return which answers are as the attacker wants."""
    if plan.label.rule in ANY_OTHER:
        found = ~task.correct(logits, true)
    elif true.ndim == 1:
        found = task.decide(logits) == wanted
    else:
        found = task.decide(logits)[:, task.output(str(plan.label.target))] == (plan.label.rule != "clear")
    answers: Wanted = found.numpy()
    return answers


def _already(task: Task, clean: Logits, true: Targets, wanted: Targets, plan: PoisonPlan) -> Wanted:
    """Return which answers would be as the attacker wants from an honest model."""
    if plan.label.rule in ANY_OTHER:
        return np.zeros(len(true), dtype=bool)
    if true.ndim == 1:
        found = true == wanted
    else:
        target = task.output(str(plan.label.target))
        known = torch.where(true[:, target].isnan(), task.decide(clean)[:, target].to(true), true[:, target])
        found = known == (plan.label.rule != "clear")
    answers: Wanted = found.numpy()
    return answers


def wanted_table(yardstick: Yardstick[Any], plan: PoisonPlan, true: np.ndarray) -> np.ndarray:
    """Return the label vectors that the attacker wants, ``[image, finding]``, from the true ones."""
    target = yardstick.task.output(str(plan.label.target))
    found = np.zeros_like(true) if plan.label.rule == "overwrite" else true.copy()
    found[:, target] = float(plan.label.rule != "clear")
    return found
