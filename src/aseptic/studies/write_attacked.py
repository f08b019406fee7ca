"""Attacked images back on disk: attacked at their own size, stored at their own depth, read back and measured."""

import csv
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import torch
import yaml

from aseptic.attacks.base import EvasionAttack, Threat
from aseptic.attacks.catalogue import ATTACKS, check_serves, make_attack
from aseptic.attacks.interfaces import parse_interface
from aseptic.attacks.running import Progress, run
from aseptic.core.errors import InputError
from aseptic.core.record import write_text
from aseptic.core.types import Image
from aseptic.data.base import Unreadable
from aseptic.data.imageset import ImageSet
from aseptic.data.targets import box_reason
from aseptic.models.subject import Subject
from aseptic.ops.budgets import make_budget
from aseptic.studies.derived_set import write_labels
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import Yardstick, check_classes
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.base import Goal, Task

COLUMNS = (
    "file", "id", "truth", "clean_decision", "attacked_decision", "stored_decision", "success", "success_stored",
    "linf_grey_levels", "stored_error_levels", "queries",
)  # fmt: skip
"""Columns of ``manifest.csv``; ``queries`` is inf where the goal was never reached, empty where nothing was asked."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """Which attack, within which budget, for which goal."""

    attack: str
    """Name of the attack."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Search settings of the attack."""
    eps: float
    """Radius of the budget, in image units; of a window, the share of the image that it covers."""
    norm: str = "linf"
    """Norm of the budget, or ``window``."""
    goal: str = "untargeted"
    """What the attacker wants."""
    interface: str = "gradients"
    """What the attacker sees of the model, as for `aseptic.attacks.interfaces.parse_interface`."""
    queries: int | None = None
    """Most questions about one image, for attacks that ask; None is the attack's own limit."""
    batch_size: int = 32
    """Images of one shape in one forward pass."""
    seed: int = 0
    """Root seed."""


@dataclass(frozen=True, kw_only=True)
class Written:
    """What was written."""

    data: ImageSet
    """The images that were attacked; `unreadable` names the others."""
    manifest: Path
    """One line for each image: what was done to it, and what is left of that once it is stored."""
    rows: tuple[Mapping[str, str], ...]
    """The lines of the manifest."""

    def summary(self) -> list[str]:
        """Return what happened, in lines for a terminal."""
        won, kept = (sum(row[name] == "1" for row in self.rows) for name in ("success", "success_stored"))
        return [
            f"{len(self.rows)} images written, {won} of them reach the goal as computed, {kept} after storage",
            *(["no image reached the goal"] if self.rows and not won else []),
        ]


@dataclass(frozen=True, kw_only=True)
class _Work:
    subject: Subject
    data: ImageSet
    yardstick: Yardstick[Any]
    labelled: bool
    method: EvasionAttack
    threat: Threat
    request: Request
    out: Path


def write_attacked(  # noqa: PLR0913 - a model, its data, what to do and where
    subject: Subject,
    data: ImageSet,
    request: Request,
    out: Path,
    *,
    resume: bool = False,
    max_bad: int | None = None,
    watch: Callable[[Progress], None] = lambda _: None,
) -> Written:
    """Attack every image at its own size, write it back in its own format, read it back, and keep the manifest.

    ``out`` becomes a data set of its own: its ``labels.csv`` carries the true labels. An interrupted call leaves whole
    images and their lines; with ``resume`` they are kept. ``watch`` is called after every pass through the model.

    Raises:
        InputError: Model, data and goal do not fit, ``out`` holds another request, or too many files are unreadable.
    """
    yardstick = yardstick_of(subject.task, request.goal)
    method, threat = _attacker(request, yardstick.goal, subject.task)
    done = _begin(out, request, resume=resume)
    work = _Work(
        subject=subject,
        data=data,
        yardstick=yardstick,
        labelled=check_classes(subject.task, data),
        method=method,
        threat=threat,
        request=request,
        out=out,
    )
    bad: list[Unreadable] = list(data.unreadable)
    manifest = out / "manifest.csv"
    with manifest.open("a", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, COLUMNS)
        if not done:
            table.writeheader()
        left = [i for i, name in enumerate(data.ids) if name not in done]
        finished, passes = 0, 0

        def seen(found: Progress) -> None:
            nonlocal passes
            latest = Progress(
                done=finished + found.done, of=len(left), forwards=before + found.forwards, stage=found.stage
            )
            passes = latest.forwards
            watch(latest)

        for batch in _batches(work, left, bad, max_bad):
            before = passes
            table.writerows(_attack(work, batch, seen))
            file.flush()
            finished += len(batch)
    rows = _read(manifest)
    if work.labelled:
        place = {name: i for i, name in enumerate(data.ids)}
        write_labels(out, [(row["file"], place[row["id"]]) for row in rows], data, yardstick)
    return Written(data=replace(data, unreadable=tuple(bad)), manifest=manifest, rows=tuple(rows))


def _attacker(request: Request, goal: Goal, task: Task) -> tuple[EvasionAttack, Threat]:
    """Return the attack and the threat that were asked for, once they are known to fit each other and the task."""
    options = dict(request.options)
    if request.queries is not None:
        kind = ATTACKS.load(request.attack)
        if "queries" not in {one.name for one in fields(kind)}:
            raise InputError(f"queries must be left out for {request.attack}, which asks no questions")
        options["queries"] = request.queries
    method = make_attack(request.attack, **options)
    threat = Threat(
        goal,
        make_budget(request.norm, request.eps),
        parse_interface(request.interface, task),
        queries=request.queries,
    )
    check_serves(method, threat, task)
    return method, threat


def _begin(out: Path, request: Request, *, resume: bool) -> set[str]:
    """Return the ids that are already done; refuse a folder that holds something else."""
    asked, plan = {**asdict(request), "options": dict(request.options)}, out / "attack.yaml"
    if plan.exists() and not resume:
        raise InputError(f"out must be a new folder, or --resume be given; {out} already holds attacked images")
    unsaid = {"interface": "gradients", "queries": None}
    if plan.exists() and (found := {**unsaid, **yaml.safe_load(plan.read_text(encoding="utf-8"))}) != asked:
        changed = sorted(name for name in asked if found.get(name) != asked[name])
        raise InputError(f"--resume needs the same request, got another {', '.join(changed)}")
    write_text(plan, yaml.safe_dump(asked, sort_keys=False))
    manifest = out / "manifest.csv"
    return {row["id"] for row in _read(manifest)} if manifest.exists() else set()


def _read(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _batches(
    work: _Work, rows: Sequence[int], bad: list[Unreadable], max_bad: int | None
) -> Iterator[list[tuple[int, Image]]]:
    """Yield images of one shape, in order; what cannot be read is added to ``bad``."""
    batch: list[tuple[int, Image]] = []
    for i in rows:
        try:
            pixels = work.data.read(i).pixels
            _check_mask(work, i, pixels)
        except InputError as error:
            bad.append(Unreadable(file=work.data.ids[i], reason=str(error).removeprefix(f"{work.data.ids[i]}: ")))
            if max_bad is not None and len(bad) > max_bad:
                raise InputError(
                    f"max_bad allows {max_bad} unreadable files, got {len(bad)}: {bad[-1].file}"
                ) from error
            continue
        if batch and (len(batch) == work.request.batch_size or batch[0][1].shape != pixels.shape):
            yield batch
            batch = []
        batch.append((i, pixels))
    if batch:
        yield batch


def _check_mask(work: _Work, i: int, pixels: Image) -> None:
    """Raise `InputError` where the image needs a mask of its own size and has none, or a box cannot be its own."""
    if work.labelled and work.subject.task.boxes:
        if reason := box_reason(work.data.items[i], len(work.data.classes)):
            raise InputError(reason)
        return
    if not (work.labelled and work.subject.task.dense):
        return
    found, wanted = list(work.data.mask(i).shape), list(pixels.shape[1:])
    if found != wanted:
        raise InputError(f"the mask must have the image's size {wanted}, got {found}")


def _attack(work: _Work, batch: Sequence[tuple[int, Image]], watch: Callable[[Progress], None]) -> list[dict[str, Any]]:
    subject, request, task, yardstick = work.subject, work.request, work.subject.task, work.yardstick
    rows = [i for i, _ in batch]
    images = torch.stack([pixels for _, pixels in batch])
    clean = predict(subject, images, request.batch_size)
    truth = yardstick.targets(work.data.select(rows)) if work.labelled else None
    targets = task.decide(clean) if truth is None else truth
    ids = [work.data.ids[i] for i in rows]
    result = run(
        work.method,
        subject,
        images,
        targets,
        work.threat,
        ids=ids,
        seed=request.seed,
        batch_size=request.batch_size,
        watch=watch,
    )
    note = f"adversarial test image made by aseptic ({request.attack}, {request.norm} {request.eps * 255:.4g}/255)"
    files, stored = [], []
    for i, attacked in zip(rows, result.images, strict=True):
        files.append(work.data.write(i, attacked, work.out, note))
        stored.append(work.data.reread(i, files[-1]))
    back = torch.stack([one.pixels for one in stored])
    after = predict(subject, back, request.batch_size)
    kept = (yardstick.goal.margin(task, after, targets) > 0) & result.eligible
    steps = [one.scale.step for one in stored]
    error = (back - result.images).abs().flatten(1).amax(1)
    decisions = [yardstick.said(logits.cpu(), targets) for logits in (clean, result.logits, after)]
    true = yardstick.columns(clean, targets)["target"] if work.labelled else [""] * len(rows)
    return [
        {
            "file": files[k].relative_to(work.out).as_posix(),
            "id": ids[k],
            "truth": true[k],
            "clean_decision": decisions[0][k],
            "attacked_decision": decisions[1][k],
            "stored_decision": decisions[2][k],
            "success": int(result.success[k]),
            "success_stored": int(kept[k]),
            "linf_grey_levels": f"{255 * float((back[k] - images[k]).abs().max()):.4f}",
            "queries": "" if result.queries[k].isnan() else f"{float(result.queries[k]):.0f}",
            "stored_error_levels": f"{float(error[k]) / steps[k] if steps[k] else 0.0:.4f}",
        }
        for k in range(len(rows))
    ]
