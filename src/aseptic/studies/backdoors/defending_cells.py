"""Cells that try defences on a trained network: cures, detectors of inputs, scanners of its training set."""

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pyarrow as pa
import torch

from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.data.splits import sample
from aseptic.data.targets import label_text
from aseptic.defences.catalogue import make_defence
from aseptic.detectors.catalogue import make_detector
from aseptic.engine.cells import Job
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import poison
from aseptic.scanners.sets.catalogue import make_set_scanner
from aseptic.scanners.sets.nulls import null_statistics
from aseptic.studies import raw
from aseptic.studies.backdoors.cells import network, opened, share_of, view
from aseptic.studies.backdoors.explaining import paired, rows_about
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.infection.answers import CLEAN
from aseptic.studies.infection.either import rows_of

LEAST = torch.finfo(torch.float32).min
"""Score of an image of which nothing can be said."""


def cure(job: Job) -> Mapping[str, Any]:
    """Cell: what a network says of test images with and without the trigger, after a cure with clean images."""
    subject, test, plan = opened(job)
    known, clock = spared(job), time.perf_counter()
    cured = make_defence(**job.config["defence"]).cure(subject, known, seed=job.config["seed"])
    seconds = time.perf_counter() - clock
    raw.save([rows_of(cured, test, plan, _batch_size(job), decoys=False)], job.folder)
    return {"images": len(test), "clean": len(known), "seconds": seconds}


def detect(job: Job) -> Mapping[str, Any]:
    """Cell: how suspicious a detector finds test images with and without the trigger, and which it flags.

    A clean image of which it can say nothing counts as the least suspicious one, so that the rate is that of all.
    """
    subject, known, config, clock = network(job), spared(job), job.config, time.perf_counter()
    detector = make_detector(**config["detector"])
    fitted = detector.fit(subject, known, seed=config["seed"], batch_size=_batch_size(job))
    held = fitted.held.nan_to_num(nan=LEAST).sort().values
    threshold = replace(fitted, held=held).threshold(config["rate"])
    images, part = _asked(view(job, "test"), config)
    tables = []
    for condition, batch in images.items():
        scores = fitted.score(batch, batch_size=_batch_size(job))
        columns = {"score": scores.double().tolist(), "flagged": (scores > threshold).tolist()}
        tables.append(rows_about(part, condition, columns))
    raw.save(tables, job.folder)
    seconds = time.perf_counter() - clock
    return {"images": len(part), "clean": len(known), "threshold": threshold, "seconds": seconds}


def inspect(job: Job) -> Mapping[str, Any]:
    """Cell: how suspicious a scanner finds the images of the training set, and the set beside permuted ones."""
    config, recipe = job.config, Recipe(**job.config["recipe"])
    training = share_of(view(job, "train"), recipe, config["share"])
    roles = ["clean"] * len(training)
    if config["plan"] is not None:
        made = poison(training, make_plan(**{**config["plan"], "loop": "fixed"}))
        training, roles = made.data, [mark.role for mark in made.marks]
    scanner, clock = make_set_scanner(**config["scanner"]), time.perf_counter()
    evidence = scanner.collect(training, network(job), batch_size=_batch_size(job))
    found = scanner.judge(evidence, seed=config["seed"])
    null = null_statistics(scanner, evidence, draws=config["draws"], seed=config["seed"])
    rows = pa.table(
        {
            "id": list(training.ids),
            "patient": pa.array(training.patients, pa.string()),
            "role": list(roles),
            "label": [label_text(training.classes, item.label) for item in training.items],
            "score": found.suspicion.double().tolist(),
        }
    )
    raw.save([rows], job.folder)
    return {
        "images": len(training),
        "poisoned": sum(role == "poison" for role in roles),
        "statistic": found.statistic,
        "label": max(found.groups, key=lambda one: one.statistic).name,
        "null": null.tolist(),
        "not_looked_at": list(found.skipped),
        "seconds": time.perf_counter() - clock,
    }


def spared(job: Job) -> ImageSet:
    """Return the clean images that a defender has: of the val split, classes in proportion, drawn from the seed."""
    val = view(job, "val")
    return val.select(sample(val.items, min(len(val), job.config["clean"]), seed=job.config["seed"]))


def _asked(test: ImageSet, config: Mapping[str, Any]) -> tuple[dict[str, Images], ImageSet]:
    """Return the images that are scored, by condition, and the clean ones as a set."""
    if config["plan"] is not None:
        return paired(test, make_plan(**config["plan"]), config["images"])
    part = test.select(sample(test.items, min(len(test), config["images"])))
    return {CLEAN: part.images}, part


def _batch_size(job: Job) -> int:
    return int(job.config["recipe"]["training"]["batch_size"])
