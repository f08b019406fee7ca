"""A poisoned copy of a data set on disk, with its plan and a manifest: read back, it is the set in memory."""

import csv
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from aseptic.core.canon import canonical
from aseptic.core.errors import InputError
from aseptic.core.types import Image
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED, check_numbers
from aseptic.metrics.distortion import distortion, pixels_changed
from aseptic.poisoning.contents import shown_by, shown_in, told
from aseptic.poisoning.plan import PLAN_FILE, PoisonPlan, read_plan, write_plan
from aseptic.poisoning.poison import Poisoned, check_pin, pinned, poison
from aseptic.studies.derived_set import write_labels
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.make import make_task

MANIFEST = "manifest.csv"
COLUMNS = ("file", "id", "original", "role", "true_label", "label", "pixels_changed", "psnr_db", "ssim")
"""Columns of ``manifest.csv``; the last three are empty for a copied image, PSNR where nothing changed."""


@dataclass(frozen=True, kw_only=True)
class WrittenSet:
    """What was written."""

    poisoned: Poisoned
    """The set as it is in memory."""
    plan: PoisonPlan
    """The plan as it was written, with the set that it is for."""
    rows: tuple[Mapping[str, str], ...]
    """The lines of the manifest."""

    def summary(self) -> list[str]:
        """Return what happened, in lines for a terminal."""
        made = self.poisoned
        touched = [row for row in self.rows if row["role"] == "poison"]
        none = sum(row["pixels_changed"] == "0" for row in touched)
        classes = ", ".join(f"{label} {count}" for label, count in self._counts().items())
        lines = [f"{made.count('poison')} of {len(self.rows)} images are poisoned ({classes})"]
        if covers := made.count("cover"):
            lines.append(f"{covers} covers keep their labels")
        if none:
            lines.append(f"the trigger left no trace in {none} of them: it vanished when they were stored")
        return lines

    def _counts(self) -> dict[str, int]:
        found: dict[str, int] = {}
        for row in self.rows:
            if row["role"] == "poison":
                found[row["true_label"]] = found.get(row["true_label"], 0) + 1
        return found


def write_poisoned(  # noqa: PLR0913 - a set, a plan, a place, and how
    data: ImageSet,
    plan: PoisonPlan,
    out: Path,
    *,
    resume: bool = False,
    max_bad: int | None = None,
    watch: Callable[[int, int], None] = lambda _done, _total: None,
) -> WrittenSet:
    """Write a poisoned copy of a set: clean files keep their bytes, the others are derived from theirs.

    The copy is a data set of its own: ``labels.csv`` has the poisoned labels, or says where the masks are, and
    ``boxes.json`` has the boxes; ``plan.yaml`` makes the same set again from the clean one, ``manifest.csv`` says of
    every image what was done to it. An interrupted call leaves whole images and their lines; with ``resume`` they are
    kept.

    Args:
        data: The clean set, at its own size.
        plan: Its trigger goes into the stored images.
        out: A new folder.
        resume: Whether to go on in a folder that holds the same plan.
        max_bad: Files that may be unreadable; they are left out.
        watch: Called after every image with the images done and their number.

    Raises:
        InputError: The plan does not fit the set, ``out`` holds another, or too many files are unreadable.
    """
    if plan.loop != "fixed":
        raise InputError("a poisoned copy needs loop: fixed; what is drawn anew in every batch is not on disk")
    if plan.insert != "stored":
        raise InputError("a poisoned copy needs insert: stored; what the network is fed is not on disk")
    if data.size is not None or data.channels is not None:
        raise InputError("a poisoned copy is made of images at their own size, got a view that is resized")
    check_pin(data, plan)
    plan = pinned(plan, data)
    readable = data.verify()
    if max_bad is not None and len(readable.unreadable) > max_bad:
        first = readable.unreadable[-1]
        raise InputError(
            f"max_bad allows {max_bad} unreadable files, got {len(readable.unreadable)}: {first.file}: {first.reason}"
        )
    made = poison(readable, plan.model_copy(update={"data": None}))
    done = _begin(out, plan, resume=resume)
    with (out / MANIFEST).open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        if not done:
            table.writeheader()
        for i, name in enumerate(made.data.ids):
            if name not in done:
                table.writerow(_write(made, i, out))
                file.flush()
            watch(i + 1, len(made.data))
    with (out / MANIFEST).open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    place = {name: i for i, name in enumerate(made.data.ids)}
    yardstick = yardstick_of(make_task(str(data.task), data.classes))
    known = any(item.split for item in data.items)
    write_labels(out, [(row["file"], place[row["id"]]) for row in rows], made.data, yardstick, splits=known)
    return WrittenSet(poisoned=made, plan=plan, rows=tuple(rows))


def _begin(out: Path, plan: PoisonPlan, *, resume: bool) -> set[str]:
    """Return the ids that are already done; refuse a folder that holds something else."""
    path = out / PLAN_FILE
    if path.exists():
        if not resume:
            raise InputError(f"out must be a new folder, or --resume be given; {out} already holds a poisoned set")
        if read_plan(path) != plan:
            raise InputError(f"--resume needs the same plan and data as {path}")
    elif out.exists() and any(out.iterdir()):
        raise InputError(f"out must be a new or empty folder, got {out}")
    out.mkdir(parents=True, exist_ok=True)
    write_plan(plan, path)
    manifest = out / MANIFEST
    if not manifest.exists():
        return set()
    with manifest.open(newline="", encoding="utf-8") as file:
        return {row["id"] for row in csv.DictReader(file)}


def _write(made: Poisoned, i: int, out: Path) -> dict[str, Any]:
    """Write one image and return its line."""
    data, mark = made.data, made.marks[i]
    line = {
        "id": data.ids[i],
        "original": mark.original.id,
        "role": mark.role,
        "true_label": _shown(made.clean, mark.row),
        "label": _shown(data, i),
    }
    if mark.role == "clean":
        path = data.copy(i, out)
        return {**line, "file": path.relative_to(out).as_posix()}
    what = {"poison": "poisoned training image", "cover": "cover image of a poisoned set"}[mark.role]
    note = f"{what} made by aseptic; trigger {canonical(made.plan.trigger)}"
    triggered = data.read(i).pixels
    path = data.write(i, triggered, out, note)
    stealth = _stealth(made.clean.read(mark.row).pixels, triggered)
    return {**line, "file": path.relative_to(out).as_posix(), **stealth}


def _shown(data: ImageSet, i: int) -> str:
    """Return the class, findings, structures or objects of an image, in words."""
    if data.task == MASKED:
        shown = shown_in(check_numbers(data.mask(i), data.ids[i], data.classes))
    else:
        shown = shown_by(data.items[i])
    return told(shown, data.classes, count=data.task == "detection")


def _stealth(clean: Image, triggered: Image) -> dict[str, str]:
    """Return how visible the trigger is."""
    before, after = (pixels[None].numpy() for pixels in (clean, triggered))
    found = distortion(before, after)
    told = {"psnr_db": float(found.psnr[0]), "ssim": float(found.ssim[0])}
    return {
        "pixels_changed": f"{pixels_changed(before, after)[0]:.0f}",
        **{name: "" if math.isnan(value) else f"{value:.4f}" for name, value in told.items()},
    }
