"""The cell of the study that no other has: who is in which half."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item
from aseptic.engine.cells import Job
from aseptic.studies import raw
from aseptic.studies.matsuo2021.settings import HALVES, LISTED


def halves(job: Job) -> Mapping[str, Any]:
    """Cell: the half of each training image, as it is dealt here and image by image: by the authors, or at random."""
    data = job.context["data"]
    items: dict[str, tuple[Item, ...]] = {name: data[name].split("train").items for name in HALVES}
    rows = [_row("halves", name, item) for name, those in items.items() for item in those]
    every = [item for those in items.values() for item in those]
    if LISTED in data:
        users = data[LISTED].split("train").items
        dealt = [(HALVES[0], item) for item in items[HALVES[0]]] + [(HALVES[1], item) for item in users]
    else:
        order = numpy_stream(job.config["seed"], "by image").permutation(len(every))
        first = set(order[: len(items[HALVES[0]])].tolist())
        dealt = [(HALVES[i not in first], item) for i, item in enumerate(every)]
    rows += [_row("halves.by_image", half, item) for half, item in dealt]
    raw.save([pa.Table.from_pylist(rows)], job.folder)
    return {"images": len(every)}


def _row(dealt: str, half: str, item: Item) -> dict[str, Any]:
    return {"id": item.id, "patient": item.patient, "dealt": dealt, "half": half}
