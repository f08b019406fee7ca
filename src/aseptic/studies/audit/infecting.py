"""The infection cells: what the model says of the same images with and without a suspected trigger, and pictures."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from aseptic.core.types import Targets
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Job
from aseptic.metrics.dense_infection import BoxHit
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.poisoning.poison import trigger_all
from aseptic.poisoning.relabelling import wanted_label
from aseptic.studies import raw
from aseptic.studies.audit.cells import open_chunk
from aseptic.studies.audit.pictures import Candidate, choose, comparison
from aseptic.studies.infection.answers import CLEAN, TRIGGERED, infection_rows
from aseptic.studies.infection.dense import dense_rows, is_dense, triggered_set
from aseptic.studies.infection.telling import short
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.studies.yardsticks.drawing import amplification
from aseptic.tasks.base import Task
from aseptic.triggers.patterns import pin_trigger

PICTURES = "infected.json"
"""What is told of the pictures."""
SHOWN = 3
"""Images that are shown, at most."""

TURNED = "The trigger alone brought the answer that is wanted."
HELD = "The trigger did not bring the answer that is wanted; the scores of this image moved the furthest."
"""Why an image is shown."""


def asked(plan: PoisonPlan, task: Task) -> PoisonPlan:
    """Return the plan with what an audit asks about and nothing else; a picture on disk is pinned by its hash.

    Raises:
        InputError: The picture cannot be read.
    """
    label = wanted_label(plan, task.name).model_dump()
    return make_plan(trigger=pin_trigger(plan.made), insert=plan.insert, label=label, seed=plan.seed)


def labelled(data: ImageSet, task: Task, targets: Targets) -> ImageSet:
    """Return the images with these targets for labels, in the model's order of outputs, and without splits."""
    labels = [tuple(map(float, one)) if isinstance(one, list) else int(one) for one in targets.tolist()]
    # A trigger would leave an image without a split alone where others have one.
    items = tuple(replace(item, label=label, split=None) for item, label in zip(data.items, labels, strict=True))
    return replace(data, task=task.name, classes=task.classes, items=items)


def check_plan(subject: Subject, data: ImageSet, plan: PoisonPlan, *, pixels: bool = False) -> None:
    """Check that a trigger can be tried: on the first image, whose pixels are read only where asked for.

    Raises:
        InputError: The label rule is another task's, the model has no such class, or the trigger does not fit.
    """
    task = subject.task
    first = data.fit(subject.spec.size).select(range(min(len(data), 1)))
    if len(first):
        place = torch.zeros(1, 1, 1, dtype=torch.long)
        any_label = place if is_dense(task) else task.decide(torch.zeros(1, len(task.classes)))
        made = triggered(first, task, any_label, plan)
        if pixels:
            _ = made.images


def triggered(data: ImageSet, task: Task, targets: Targets, plan: PoisonPlan) -> ImageSet:
    """Return the images with the trigger in all of them.

    Raises:
        InputError: As `check_plan`.
    """
    return triggered_set(data, task, plan) if is_dense(task) else trigger_all(labelled(data, task, targets), plan).data


def infect(job: Job) -> Mapping[str, Any]:
    """Cell: what the model says of the images as they are, and with the trigger."""
    chunk, plan = open_chunk(job), make_plan(**job.config["plan"])
    size = job.config["batch_size"]
    if is_dense(chunk.task):
        hit = BoxHit(**{name: job.config[name] for name in ("overlap", "confidence") if name in job.config})
        rows = dense_rows(chunk.subject, chunk.data, chunk.targets, plan, size, hit)
    else:
        rows = infection_rows(chunk.subject, labelled(chunk.data, chunk.task, chunk.targets), plan, size)
    raw.save([rows], job.folder)
    return {"n": len(chunk.ids)}


def pictures(job: Job) -> Mapping[str, Any]:
    """Cell: pictures of images that are not of the target, those first whose answer the trigger turned."""
    plan = make_plan(**job.config["plan"])
    chosen = choose(candidates(job), job.config["examples"])
    told = [_example(job, one, number, plan) for number, one in enumerate(chosen)]
    (job.folder / PICTURES).write_text(json.dumps(told, indent=1), encoding="utf-8")
    return {"examples": [one["id"] for one in told]}


def candidates(job: Job) -> list[Candidate]:
    """Return every image that is not of the target, with how far the trigger moved its answer."""
    rows = raw.gather({name: one.folder for name, one in job.inputs.items()}).to_pandas()
    clean, after = (rows[rows["condition"] == name].reset_index(drop=True) for name in (CLEAN, TRIGGERED))
    yardstick = yardstick_of(job.context["model"].task)
    moved = np.nan_to_num(yardstick.telling(yardstick.read(clean)[0], yardstick.read(after)[0]))
    return [
        Candidate(
            row=row,
            truth=str(clean["target"][row]),
            telling=float(moved[row]),
            fell=bool(after["reached"][row] and not clean["reached"][row]),
        )
        for row in range(len(clean))
        if not clean["already"][row]
    ]


def _example(job: Job, one: Candidate, number: int, plan: PoisonPlan) -> dict[str, Any]:
    chunk = open_chunk(replace(job, config={**job.config, "start": one.row, "stop": one.row + 1}))
    after = triggered(chunk.data, chunk.task, chunk.targets, plan).images
    return {
        "id": chunk.ids[0],
        "truth": one.truth or "no finding",
        "attack": short(plan.trigger),
        "why": TURNED if one.fell else HELD,
        **comparison(chunk, 0, after[0], job.folder / f"infected{number}", amplification(after - chunk.images)),
    }
