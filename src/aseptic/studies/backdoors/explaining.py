"""Cells that explain what networks answer: where a map looks, and whether an unknown trigger can be found."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from aseptic.core.rng import stream
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED
from aseptic.data.splits import sample
from aseptic.engine.cells import Job
from aseptic.explain.base import Outputs, decided
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.explain.finder import TriggerFinder
from aseptic.metrics.localisation import localisation
from aseptic.models.subject import Subject
from aseptic.poisoning.choosing import fitting
from aseptic.poisoning.plan import PoisonPlan, Select
from aseptic.poisoning.poison import trigger_all
from aseptic.poisoning.relabelling import Label
from aseptic.studies import raw
from aseptic.studies.backdoors.cells import opened, view
from aseptic.studies.infection.answers import CLEAN, TRIGGERED
from aseptic.studies.predict import predict

SEEN = 0.5 / 255
"""Change from which a pixel belongs to the trigger."""
TOLERANCE = 0.03
"""Distance from the trigger at which a peak still counts as on it, as a share of the side."""
OTHERS = "-other"
"""Ends the name of an explainer that is made to explain the best output but the first (trap 1g-7)."""


def explain(job: Job) -> Mapping[str, Any]:
    """Cell: where explanations look, with and without the trigger, at the same place."""
    subject, test, plan = opened(job)
    pair, part = paired(test, plan, job.config["images"])
    regions = ((pair[TRIGGERED] - pair[CLEAN]).abs() > SEEN).any(1)
    tables = []
    for name in job.config["explainers"]:
        explainer = EXPLAINERS.load(name.removesuffix(OTHERS))
        for condition, images in pair.items():
            outputs = outputs_of(subject, images, plan, other=name.endswith(OTHERS))
            found = localisation(
                explainer(subject, images, outputs), regions, tolerance=TOLERANCE * min(images.shape[2:])
            )
            numbers = {"hit": found.hit, "overlap": found.overlap, "mass": found.mass, "uniform": found.uniform}
            tables.append(rows_about(part, condition, {"explainer": [name] * len(part), **numbers}))
    raw.save(tables, job.folder)
    return {"images": len(part)}


def find(job: Job) -> Mapping[str, Any]:
    """Cell: how suspicious the trigger finder thinks images are, with and without the trigger.

    Carriers are clean images of the val split.
    """
    subject, test, plan = opened(job)
    pair, part = paired(test, plan, job.config["images"])
    known = view(job, "val")
    carriers = known.select(sample(known.items, min(len(known), job.config["carriers"]))).images
    tables = []
    forwards = 0
    for condition, images in pair.items():
        found = TriggerFinder().find(subject, images, carriers, rng=stream(plan.seed, "finder"))
        forwards += found.forwards
        numbers = {"score": found.score.tolist(), "fooled": found.fooled.tolist(), "inert": found.inert.tolist()}
        tables.append(rows_about(part, condition, numbers))
    raw.save(tables, job.folder)
    return {"images": len(part), "carriers": len(carriers), "forwards": forwards}


def paired(test: ImageSet, plan: PoisonPlan, count: int) -> tuple[dict[str, Images], ImageSet]:
    """Return images that are not of the target, clean and triggered, and the clean ones as a set."""
    triggered = trigger_all(test, plan).data
    other = others(test, triggered, plan)
    chosen = [other[i] for i in sample([test.items[i] for i in other], min(count, len(other)))]
    part = test.select(chosen)
    return {CLEAN: part.images, TRIGGERED: triggered.select(chosen).images}, part


def others(test: ImageSet, triggered: ImageSet, plan: PoisonPlan) -> list[int]:
    """Return which images are not as the attacker wants them already: they show the source, or not the target.

    Args:
        test: Clean images.
        triggered: The same images, labelled as the attacker wants them to be taken.
        plan: Says what that is.
    """
    if test.task in {MASKED, "detection"}:
        return [i for i, fits in enumerate(fitting(test, plan.model_copy(update={"select": Select()}))) if fits]
    target = plan.label.target
    number = None if target is None else test.classes.index(target)
    pairs = [[_at(item.label, number) for item in pair] for pair in zip(test.items, triggered.items, strict=True)]
    return [i for i, (true, wanted) in enumerate(pairs) if true != wanted]


def _at(label: Label | None, number: int | None) -> Label | float | None:
    """Return what a label says of the target: of findings, whether that one is there."""
    return label[number] if isinstance(label, tuple) and number is not None else label


def outputs_of(subject: Subject, images: Images, plan: PoisonPlan, *, other: bool = False) -> Outputs:
    """Return what is explained: the target; without one, what is decided; or the best output but the first."""
    if other:
        return predict(subject, images, len(images))[:, 1:].argmax(1) + 1
    if plan.label.target is None:
        return decided(subject, images)
    return torch.full((len(images),), subject.task.output(plan.label.target), dtype=torch.long)


def rows_about(part: ImageSet, condition: str, columns: Mapping[str, Any]) -> pa.Table:
    """Return a row for each image, beginning with its id, its patient and its condition."""
    facts = {"id": part.ids, "patient": pa.array(part.patients, pa.string()), "condition": [condition] * len(part)}
    return pa.table({**facts, **columns})
