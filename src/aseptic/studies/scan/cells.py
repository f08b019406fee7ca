"""The cell that scans a network which another cell has trained."""

from collections.abc import Mapping
from typing import Any

from aseptic.core.rng import numpy_stream
from aseptic.core.types import Images
from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Job
from aseptic.models.load import load_model
from aseptic.scanners.catalogue import make_scanner
from aseptic.studies.backdoors.cells import MODEL
from aseptic.studies.backdoors.recipe import Recipe


def scan(job: Job) -> Mapping[str, Any]:
    """Cell: what a scanner finds in a network; everything but the pictures."""
    config = job.config
    data = job.context["data"][config["data"]]
    images = shown_images(data, Recipe(**config["recipe"]), config["split"], config["images"], config["seed"])
    subject = load_model(job.inputs["model"].folder / MODEL).to(str(job.context.get("device", "cpu")))
    return make_scanner(**config["scanner"]).scan(subject, images, seed=config["seed"]).told()


def shown_images(data: ImageSet, recipe: Recipe, split: str, count: int, seed: int) -> Images:
    """Return images of a split as networks are fed them: ``count`` of them, drawn from a seed, or all if fewer.

    A model and its twins are scanned with the same images, so that nothing but the network differs.
    """
    part = recipe.view(data.split(split))
    rows = numpy_stream(seed, "scanned").permutation(len(part))[:count]
    return part.select(sorted(rows.tolist())).images
