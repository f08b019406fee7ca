"""The example cell: the most telling images, before and after, with what changed."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch

from aseptic.core.types import Image
from aseptic.engine.cells import Job
from aseptic.studies import raw
from aseptic.studies.audit.answers import answers_of
from aseptic.studies.audit.cells import ATTACKED, Chunk, open_chunk
from aseptic.studies.audit.settings import GREY
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.drawing import Frame


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image that might be shown."""

    row: int
    """Place in the data set."""
    truth: str
    telling: float
    """How far the answer moved, as the yardstick of the task measures it."""
    fell: bool
    """Whether a right decision became wrong."""


def examples(job: Job) -> Mapping[str, Any]:
    """Cell: pictures of the images whose right decision became wrong most clearly."""
    chunk = open_chunk(job)
    chosen = choose(candidates(job, chunk.yardstick), job.config["examples"])
    told = [_example(job, chunk, one, number) for number, one in enumerate(chosen)]
    (job.folder / "examples.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return {"examples": [one["id"] for one in told]}


def candidates(job: Job, yardstick: Yardstick[Any]) -> list[Candidate]:
    """Return every image with how telling it is at the reference budget."""
    clean = raw.gather({name: one.folder for name, one in job.inputs.items() if name.startswith("clean")})
    after = raw.gather({name: one.folder for name, one in job.inputs.items() if name.startswith("attack")})
    chosen = pc.and_(
        pc.equal(after["grey_levels"], job.config["reference"]),
        pc.and_(pc.equal(after["storage"], "float"), pc.equal(after["condition"], "attack")),
    )
    place = {name: row for row, name in enumerate(after.filter(chosen)["id"].to_pylist())}
    after = after.filter(chosen).take(pa.array([place[name] for name in clean["id"].to_pylist()]))
    before, later = (answers_of(table.to_pandas(), yardstick) for table in (clean, after))
    moved = np.nan_to_num(yardstick.telling(before.found, later.found))
    held, kept = (np.where(np.isnan(one.right), 1.0, one.right).min(1) for one in (before, later))
    return [
        Candidate(row=row, truth=truth, telling=float(moved[row]), fell=bool(held[row] and not kept[row]))
        for row, truth in enumerate(clean["target"].to_pylist())
    ]


def choose(found: Sequence[Candidate], count: int) -> list[Candidate]:
    """Return the most telling images, those that fell first, spread over the true classes."""
    limit = -(-count // max(len({one.truth for one in found}), 1))
    ranked = sorted(found, key=lambda one: (not one.fell, -one.telling, one.row))
    taken: list[Candidate] = []
    spread: Counter[str] = Counter()
    for one in ranked:
        if spread[one.truth] < limit:
            taken.append(one)
            spread[one.truth] += 1
    rest = [one for one in ranked if one not in taken]
    return [*taken, *rest][:count]


def _example(job: Job, chunk: Chunk, one: Candidate, number: int) -> dict[str, Any]:
    stride, grey = job.config["chunk"], job.config["reference"]
    stored = np.load(job.inputs[f"attack{one.row // stride}"].folder / ATTACKED, mmap_mode="r")
    attacked = torch.from_numpy(np.array(stored[one.row % stride]))
    return {
        "id": chunk.ids[one.row],
        "truth": one.truth or "no finding",
        "grey_levels": grey,
        "attack": stored_method(job),
        "why": chunk.yardstick.why(fell=one.fell),
        **comparison(chunk, one.row, attacked, job.folder / f"ex{number}", max(int(0.5 / (grey * GREY)), 1)),
    }


def comparison(chunk: Chunk, row: int, changed: Image, stem: Path, factor: int) -> dict[str, Any]:
    """Save the pictures of an image before and after a change, and say by which names the page finds them.

    Args:
        chunk: Where the image is.
        row: Its place there.
        changed: The same image, changed.
        stem: Folder, and what file names begin with.
        factor: How many times the difference is amplified.
    """
    subject, yardstick = chunk.subject, chunk.yardstick
    clean, target = chunk.images[row], chunk.targets[row : row + 1]
    where = yardstick.frame(clean, changed, target)
    frames = {
        side: Frame(folder=stem.parent, name=f"{stem.name}_{side}", where=where)
        for side in ("difference", "clean", "attacked", "more")
    }
    difference = (0.5 + factor * (changed - clean)).clamp(0, 1)
    return {
        "difference": {
            "image": frames["difference"].save("", frames["difference"].pixels(difference)),
            "factor": factor,
        },
        "clean": yardstick.side(subject, clean, target, frames["clean"]),
        "attacked": yardstick.side(subject, changed, target, frames["attacked"]),
        "extras": yardstick.extras(clean, target, frames["more"]),
    }


def stored_method(job: Job) -> str:
    """Return the name of the attack whose images are shown."""
    name: str = job.inputs["attack0"].value["attack"]
    return name
