"""The cells of an audit: each reads images and a model from the context, and writes rows and arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from aseptic.attacks.catalogue import make_attack
from aseptic.attacks.running import Result, control_noise, run
from aseptic.core.rng import derive
from aseptic.core.types import Flags, Images, Logits, PerImage, Targets
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Job
from aseptic.models.preflight import preflight
from aseptic.models.subject import Subject
from aseptic.ops.quantise import quantise
from aseptic.studies import raw
from aseptic.studies.audit import rows
from aseptic.studies.audit.battery import threat_of
from aseptic.studies.audit.settings import GREY
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.base import Task

ATTACKED = "attacked.npy"
EIGHT_BITS = 255.0


@dataclass(frozen=True, kw_only=True)
class Chunk:
    """The images of one cell, with everything that rows say about them."""

    subject: Subject
    images: Images
    targets: Targets
    ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    data: ImageSet
    """The images as a set, for what their files say."""
    yardstick: Yardstick[Any]
    """What is measured."""

    @property
    def task(self) -> Task:
        """The model's task."""
        return self.subject.task


def open_chunk(job: Job) -> Chunk:
    """Return the images that the configuration names; without labels, the clean decisions are the targets."""
    subject: Subject = job.context["model"]
    data: ImageSet = job.context["data"]
    given: Targets | None = job.context["targets"]
    start, stop = job.config["start"], job.config["stop"]
    part = data.select(range(start, stop))
    images = part.images
    targets = (
        subject.task.decide(predict(subject, images, job.config["batch_size"])) if given is None else given[start:stop]
    )
    return Chunk(
        subject=subject,
        images=images,
        targets=targets,
        ids=part.ids,
        patients=part.patients,
        data=part,
        yardstick=yardstick_of(subject.task, job.config.get("goal", "untargeted")),
    )


def stored_steps(data: ImageSet) -> list[float]:
    """Read the files again and return the stored levels between 0 and 1 of each; 0 for floating-point storage."""
    return [1 / step if (step := data.read(i).scale.step) else 0.0 for i in range(len(data))]


def check(job: Job) -> Mapping[str, Any]:
    """Cell: the pre-flight checks on the first images."""
    chunk = open_chunk(job)
    found = preflight(chunk.subject, chunk.images, chunk.targets, seed=job.config["seed"])
    return {
        "checks": [
            {"name": one.name, "status": one.status, "sentence": one.sentence, "evidence": dict(one.evidence)}
            for one in found
        ]
    }


def clean(job: Job) -> Mapping[str, Any]:
    """Cell: what the model says of the images as they are."""
    chunk = open_chunk(job)
    logits = predict(chunk.subject, chunk.images, job.config["batch_size"])
    goal = chunk.yardstick.goal
    reached = goal.margin(chunk.task, logits, chunk.targets) > 0
    eligible = goal.applies(chunk.task, chunk.targets)
    raw.save([_rows(chunk, logits, rows.Condition(condition="clean"), success=reached, eligible=eligible)], job.folder)
    return {"n": len(chunk.ids)}


def attack(job: Job) -> Mapping[str, Any]:
    """Cell: one attack on one chunk at every budget, its control noise, and what storage leaves of it."""
    chunk, config = open_chunk(job), job.config
    native = stored_steps(chunk.data) if config["follow_up"] else []
    method = make_attack(config["attack"], **config["options"])
    tables: list[pa.Table] = []
    start: Images | None = None
    cost = {"attack": config["attack"], "forwards": 0, "backwards": 0, "images": 0}
    for grey in config["grey_levels"]:
        threat = threat_of(type(method), chunk.yardstick.goal, grey, config["queries"])
        result = run(
            method,
            chunk.subject,
            chunk.images,
            chunk.targets,
            threat,
            seed=derive(config["seed"], config["attack"], str(grey)),
            batch_size=config["batch_size"],
            ids=chunk.ids,
            start=start,
        )
        start = _enlarged(chunk.images, result.images, grey, config["grey_levels"])
        cost["forwards"] += result.cost.forwards
        cost["backwards"] += result.cost.backwards
        cost["images"] += len(chunk.ids)
        tables.append(_attacked(chunk, result.logits, result, _condition(config, grey)))
        if config["follow_up"]:
            tables += _stored(chunk, result, grey, native, config)
            tables.append(_control(chunk, result, grey, config))
        if config["keep"] == grey:
            np.save(job.folder / ATTACKED, result.images.numpy())
    raw.save(tables, job.folder)
    return cost


def _enlarged(images: Images, found: Images, grey: float, greys: Sequence[float]) -> Images | None:
    """Return the perturbations enlarged to the next budget: where that already does, the next attack is short."""
    larger = [one for one in greys if one > grey]
    return (images + (found - images) * (larger[0] / grey)).clamp(0, 1) if larger else None


def _condition(config: Mapping[str, Any], grey: float, storage: str = "float") -> rows.Condition:
    return rows.Condition(condition="attack", method=config["attack"], grey_levels=grey, storage=storage)


def _attacked(chunk: Chunk, logits: Logits, result: Result, condition: rows.Condition) -> pa.Table:
    """Return the rows of attacked images; success is judged on these logits."""
    won = chunk.yardstick.goal.margin(chunk.task, logits, chunk.targets) > 0
    return _rows(chunk, logits, condition, success=won & result.eligible, result=result)


def _stored(
    chunk: Chunk, result: Result, grey: float, native: Sequence[float], config: Mapping[str, Any]
) -> list[pa.Table]:
    """Return the rows of the attacked images at 8 bits and at the source's own depth."""
    kept, logits = result.images, dict[str, Logits]()
    for storage, steps in (("8bit", [EIGHT_BITS] * len(kept)), ("native", native)):
        rounded = torch.cat([quantise(kept[i : i + 1], s) if s else kept[i : i + 1] for i, s in enumerate(steps)])
        same = storage == "native" and set(steps) == {EIGHT_BITS}
        logits[storage] = logits["8bit"] if same else predict(chunk.subject, rounded, config["batch_size"])
    return [_attacked(chunk, found, result, _condition(config, grey, name)) for name, found in logits.items()]


def _control(chunk: Chunk, result: Result, grey: float, config: Mapping[str, Any]) -> pa.Table:
    noisy = control_noise(chunk.images, result.images, seed=derive(config["seed"], "noise", str(grey)), ids=chunk.ids)
    condition = rows.Condition(condition="noise", method=config["attack"], grey_levels=grey)
    return _rows(chunk, predict(chunk.subject, noisy, config["batch_size"]), condition)


def _rows(  # noqa: PLR0913 - one column each
    chunk: Chunk,
    logits: Logits,
    condition: rows.Condition,
    *,
    success: Flags | None = None,
    eligible: Flags | None = None,
    result: Result | None = None,
) -> pa.Table:
    return rows.build(
        chunk.yardstick,
        logits,
        chunk.targets,
        ids=chunk.ids,
        patients=chunk.patients,
        condition=condition,
        success=success,
        eligible=eligible if result is None else result.eligible,
        distance=None if result is None else _largest(result.images - chunk.images),
        queries=None if result is None else result.queries,
    )


def _largest(change: Images) -> PerImage:
    """Return the largest change of a pixel, in levels of 255."""
    return change.abs().flatten(1).amax(1) / GREY


def starts(count: int, chunk: int) -> Sequence[tuple[int, int]]:
    """Return the first and last-plus-one image of every chunk.

    >>> starts(5, 2)
    [(0, 2), (2, 4), (4, 5)]
    """
    return [(start, min(start + chunk, count)) for start in range(0, count, chunk)]
