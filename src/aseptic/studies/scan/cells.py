"""The cells that scan a network: one that another cell has trained, or the one that was given."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from aseptic.core.canon import content_key
from aseptic.core.rng import numpy_stream
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Job
from aseptic.models.load import load_model
from aseptic.scanners.base import ModelScan
from aseptic.scanners.catalogue import make_scanner
from aseptic.scanners.smooth import SmoothInversion
from aseptic.studies import raw
from aseptic.studies.backdoors.cells import MODEL
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.scan.pictures import save_pictures


def scan(job: Job) -> Mapping[str, Any]:
    """Cell: what a scanner finds in a network; everything but the pictures."""
    config = job.config
    data = job.context["data"][config["data"]]
    images = shown_images(data, Recipe(**config["recipe"]), config["split"], config["images"], config["seed"])
    subject = load_model(job.inputs["model"].folder / MODEL).to(str(job.context.get("device", "cpu")))
    return make_scanner(**config["scanner"]).scan(subject, images, seed=config["seed"]).told()


def scan_given(job: Job) -> Mapping[str, Any]:
    """Cell: what a scanner finds in the model that was given, as rows and pictures."""
    scanner = make_scanner(**job.config["scanner"])
    found = scanner.scan(job.context["model"], job.context["images"], seed=job.config["seed"])
    raw.save([_rows(found)], job.folder)
    on_grey = isinstance(scanner, SmoothInversion)
    return {**found.told(), "pictures": save_pictures(found, job.folder, job.config["shown"], on_grey=on_grey)}


def _rows(found: ModelScan) -> pa.Table:
    """Return one row for each output."""
    return pa.table(
        {
            "scanner": [str(found.scanner["name"])] * len(found.outputs),
            "output": list(found.outputs),
            "score": found.scores.double().tolist(),
            "index": found.index.double().tolist(),
            "reached": found.reached.double().tolist(),
        }
    )


def shown_images(data: ImageSet, recipe: Recipe, split: str, count: int, seed: int) -> Images:
    """Return images of a split as networks are fed them: ``count`` of them, drawn from a seed, or all if fewer.

    A model and its twins are scanned with the same images, so that nothing but the network differs.
    """
    return shown_set(data, recipe, split, count, seed).images


def shown_set(data: ImageSet, recipe: Recipe, split: str, count: int, seed: int) -> ImageSet:
    """Return the set of `shown_images`."""
    return drawn(recipe.view(data.split(split)), count, seed)


def drawn(data: ImageSet, count: int, seed: int) -> ImageSet:
    """Return ``count`` images of a set, drawn from a seed, or all if fewer, in their own order."""
    rows = numpy_stream(seed, "scanned").permutation(len(data))[:count]
    return data.select(sorted(rows.tolist()))


def shown_key(data: ImageSet) -> str:
    """Return a hash of which images there are, whatever view of them and whichever labels they have."""
    return content_key({"images": [[item.id, data.source.digest(item)] for item in data.items]})
