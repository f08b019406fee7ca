"""The example cell: the most telling images, before and after, with what changed and where the model looks."""

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
from jaxtyping import Float, UInt8
from matplotlib import colormaps
from PIL import Image as Pillow
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.engine.cells import Job
from aseptic.explain.base import decided
from aseptic.models.subject import Subject
from aseptic.studies.audit import rows
from aseptic.studies.audit.cells import ATTACKED, Chunk, open_chunk
from aseptic.studies.audit.explaining import EXPLAINERS
from aseptic.studies.audit.settings import GREY
from aseptic.studies.predict import predict

OVERLAY = 0.45
"""Opacity of a map over its image."""
Pixels = UInt8[np.ndarray, "row column 3"]


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """An image that might be shown."""

    row: int
    """Place in the data set."""
    truth: str
    telling: float
    """Score of the attacked decision plus that of the clean one; above 1 only when the decision flipped."""
    fell: bool
    """Whether a right decision became wrong."""


def examples(job: Job) -> Mapping[str, Any]:
    """Cell: pictures of the images whose confident right decision became the most confident wrong one."""
    chosen = choose(candidates(job), job.config["examples"])
    chunk = open_chunk(job)
    told = [_example(job, chunk, one, number) for number, one in enumerate(chosen)]
    (job.folder / "examples.json").write_text(json.dumps(told, indent=1), encoding="utf-8")
    return {"examples": [one["id"] for one in told]}


def candidates(job: Job) -> list[Candidate]:
    """Return every image with how telling it is at the reference budget."""
    clean = rows.gather({name: one.folder for name, one in job.inputs.items() if name.startswith("clean")})
    after = rows.gather({name: one.folder for name, one in job.inputs.items() if name.startswith("attack")})
    chosen = pc.and_(
        pc.equal(after["grey_levels"], job.config["reference"]),
        pc.and_(pc.equal(after["storage"], "float"), pc.equal(after["condition"], "attack")),
    )
    after = after.filter(chosen)
    place = {name: row for row, name in enumerate(after["id"].to_pylist())}
    names = [name for name in clean.column_names if name.startswith("score:")]
    before, later = _scores(clean, names), _scores(after, names)
    right, still = clean["correct"].to_pylist(), after["correct"].to_pylist()
    found = []
    for row, (name, truth) in enumerate(zip(clean["id"].to_pylist(), clean["target"].to_pylist(), strict=True)):
        other = place[name]
        found.append(
            Candidate(
                row=row,
                truth=truth,
                telling=float(np.abs(later[other] - before[row]).max()),
                fell=right[row] and not still[other],
            )
        )
    return found


def _scores(table: pa.Table, names: Sequence[str]) -> Float[np.ndarray, "image output"]:
    return np.stack([table[name].to_numpy() for name in names], 1)


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
    stride, subject = job.config["chunk"], chunk.subject
    stored = np.load(job.inputs[f"attack{one.row // stride}"].folder / ATTACKED, mmap_mode="r")
    attacked = torch.from_numpy(np.array(stored[one.row % stride]))
    clean, grey = chunk.images[one.row], job.config["reference"]
    change = attacked - clean
    where = int(change.abs().amax((0, *range(2, change.ndim))).argmax()) if change.ndim == 4 else None  # noqa: PLR2004
    factor = max(int(0.5 / (grey * GREY)), 1)
    name = f"ex{number}"
    _save(job.folder / f"{name}_difference.png", _rgb(_slice((0.5 + factor * change).clamp(0, 1), where)))
    told: dict[str, Any] = {
        "id": chunk.ids[one.row],
        "truth": one.truth or "no finding",
        "grey_levels": grey,
        "attack": stored_method(job),
        "difference": {"image": f"figures/{name}_difference.png", "factor": factor},
        "why": (
            "A right decision that became wrong." if one.fell else "The decision held; its score moved the furthest."
        ),
    }
    for side, image in (("clean", clean), ("attacked", attacked)):
        told[side] = _side(subject, image, where, job.folder, f"{name}_{side}")
    return told


def stored_method(job: Job) -> str:
    """Return the name of the attack whose images are shown."""
    name: str = job.inputs["attack0"].value["attack"]
    return name


def _side(subject: Subject, image: Image, where: int | None, folder: Path, name: str) -> dict[str, Any]:
    batch, task = image[None], subject.task
    logits, output = predict(subject, batch, 1), decided(subject, batch)
    base = _rgb(_slice(image, where))
    _save(folder / f"{name}.png", base)
    told = {
        "decision": rows.names_of(task, task.decide(logits))[0] or "no finding",
        "score": float(task.scores(logits)[0, output[0]]),
        "image": f"figures/{name}.png",
    }
    for kind, label in (("map", "gradcam"), ("saliency", "saliency")):
        try:
            found = EXPLAINERS[label](subject, batch, output)[0]
        except InputError:
            continue
        _save(folder / f"{name}_{label}.png", _overlay(base, _slice(found[None], where)[0]))
        told[kind] = f"figures/{name}_{label}.png"
    return told


def _slice(image: Tensor, where: int | None) -> Tensor:
    """Return a picture in two axes; of a volume, the slice that changed most."""
    return image if where is None else image[:, where]


def _rgb(image: Float[Tensor, "channel row column"]) -> Pixels:
    levels = (image[:3] if image.shape[0] >= 3 else image[:1].expand(3, -1, -1)) * 255  # noqa: PLR2004 - colour
    pixels: Pixels = levels.round().byte().permute(1, 2, 0).numpy()
    return pixels


def _overlay(base: Pixels, found: Float[Tensor, "row column"]) -> Pixels:
    """Return the image in grey with the map over it; the map is scaled to its 99.5th percentile."""
    values = found.numpy()
    top = float(np.percentile(values, 99.5)) or 1.0
    colours = colormaps["inferno"](np.clip(values / top, 0, 1))[..., :3] * 255
    grey = base.mean(2, keepdims=True)
    mixed: Pixels = ((1 - OVERLAY) * grey + OVERLAY * colours).round().astype(np.uint8)
    return mixed


def _save(path: Path, pixels: Pixels) -> None:
    Pillow.fromarray(pixels).save(path, optimize=True)
