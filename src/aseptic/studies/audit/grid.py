"""The grid of an audit: which cells there are, what each depends on, and how long it will take."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import torch

from aseptic import __version__
from aseptic.core.record import Skipped
from aseptic.engine.cells import Cell
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.scanners.aims import check_served
from aseptic.scanners.calibration import Null
from aseptic.studies.audit.battery import query_only, unserved
from aseptic.studies.audit.cells import starts
from aseptic.studies.audit.infecting import SHOWN, asked
from aseptic.studies.audit.pairing import Pair
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.scan.cells import drawn
from aseptic.studies.scan.prepared import Prepared, chosen, comparable, model_cells
from aseptic.studies.scan.settings import ScanSettings
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.catalogue import yardstick_of

CELLS = "aseptic.studies.audit.cells"
INFECT = "aseptic.studies.audit.infecting"
EXPLAIN = "aseptic.studies.audit.explaining"
PICTURES = "aseptic.studies.audit.pictures"

FORWARD_OF_PASS = 3
"""A question is a forward pass, about a third of a forward and backward pass."""
TYPICAL_STEPS = 100
"""Steps of the searches that take many."""
PREFLIGHT_IMAGES = 128
"""Images that the pre-flight checks look at."""
TIMED_IMAGES = 32
"""Images that one pass is timed on."""


@dataclass(frozen=True, kw_only=True)
class Grid:
    """All cells of an audit, by what they are for."""

    check: Cell
    clean: tuple[Cell, ...]
    attacks: Mapping[str, tuple[Cell, ...]]
    explained: tuple[Cell, ...]
    examples: Cell | None
    unserved: tuple[Skipped, ...]
    """Attacks that cannot serve the task, with the reason."""
    plan: PoisonPlan | None = None
    """The suspected trigger and what it is for."""
    infected: tuple[Cell, ...] = ()
    """Answers with and without the trigger."""
    infected_examples: Cell | None = None
    scan: Prepared | None = None
    """The scan for backdoors that nobody has named."""

    def cells(self) -> tuple[Cell, ...]:
        """Return every cell, cheapest questions first."""
        attacks = [cell for cells in self.attacks.values() for cell in cells]
        pictures = [cell for cell in (self.examples, self.infected_examples) if cell]
        scanned = self.scan.all_cells() if self.scan else ()
        return (self.check, *self.clean, *self.infected, *attacks, *scanned, *self.explained, *pictures)


def seconds_per_pass(subject: Subject, images: torch.Tensor) -> float:
    """Return the seconds that one forward and backward pass takes for one image, after a warm-up."""
    parameter = next(subject.parameters(), None)
    batch = images if parameter is None else images.to(parameter.device)
    with untouched(subject):
        for _ in range(2):
            begun = time.perf_counter()
            leaf = batch.detach().clone().requires_grad_()
            torch.autograd.grad(subject(leaf).sum(), leaf, allow_unused=True)
            spent = time.perf_counter() - begun
    return spent / len(images)


def make_grid(pair: Pair, settings: AuditSettings, nulls: Mapping[str, Null] | None = None) -> Grid:
    """Return the cells of the audit of ``pair``; nothing is computed but the time of one pass.

    Args:
        pair: Model and data.
        settings: What is asked for.
        nulls: Name of a scanner to the statistics of twins that were scanned before.
    """
    keys = {
        "aseptic": __version__,
        "model": pair.model_key,
        "data": pair.data.fingerprint(),
        "labelled": pair.targets is not None,
    }
    basis = {**keys, "batch_size": settings.batch_size, "seed": settings.seed}
    count = len(pair.data)
    first = min(count, PREFLIGHT_IMAGES)
    one_pass = seconds_per_pass(pair.subject, next(pair.data.batches(min(count, TIMED_IMAGES))).images)

    def cell(name: str, function: str, config: Mapping[str, Any], passes: int, **inputs: Cell) -> Cell:
        return Cell(name=name, function=function, config={**basis, **config}, inputs=inputs, estimate=passes * one_pass)

    chunks = starts(count, settings.chunk)
    check = cell("preflight", f"{CELLS}:check", {"start": 0, "stop": first}, 12 * first)
    clean = tuple(
        cell(f"clean/{a}", f"{CELLS}:clean", {"start": a, "stop": b, "goal": settings.goal}, b - a) for a, b in chunks
    )
    absent, yardstick = unserved(settings, pair.subject.task), yardstick_of(pair.subject.task, settings.goal)
    attacks: dict[str, tuple[Cell, ...]] = {}
    for name in settings.methods:
        if f"attack.{name}" in {one.id for one in absent}:
            continue
        config = attack_config(name, settings, yardstick)
        passes = passes_of(name, settings, config["options"])
        attacks[name] = tuple(
            cell(f"{name}/{a}", f"{CELLS}:attack", {"start": a, "stop": b, **config}, (b - a) * passes)
            for a, b in chunks
        )
    strongest = attacks[settings.strongest]
    explained = tuple(
        cell(
            f"explain/{a}",
            f"{EXPLAIN}:explain",
            {"start": a, "stop": min(b, settings.explained)},
            8 * (b - a),
            attack=source,
        )
        for (a, b), source in zip(chunks, strongest, strict=True)
        if a < settings.explained and not yardstick.unexplained
    )
    examples = None
    if settings.examples:
        sources = {f"attack{i}": one for i, one in enumerate(strongest)} | {
            f"clean{i}": one for i, one in enumerate(clean)
        }
        config = {"start": 0, "stop": count, "examples": settings.examples, "reference": settings.reference}
        config["goal"] = settings.goal
        examples = cell(
            "examples", f"{PICTURES}:examples", {**config, "chunk": settings.chunk}, 12 * settings.examples, **sources
        )
    grid = Grid(check=check, clean=clean, attacks=attacks, explained=explained, examples=examples, unserved=absent)
    if settings.scan is not None:
        grid = replace(grid, scan=scan_of(pair, settings.scan, nulls or {}, one_pass))
    if settings.plan is None:
        return grid
    config = {"plan": asked(settings.plan, pair.subject.task).model_dump(mode="json")}
    if pair.subject.task.boxes:
        config |= asdict(settings.hit)
    return with_infection(grid, cell, chunks, config, min(settings.examples, SHOWN))


def scan_of(pair: Pair, settings: ScanSettings, nulls: Mapping[str, Null], one_pass: float) -> Prepared:
    """Return the scan of the model with images of the audit.

    Raises:
        InputError: The model has no one output that images could be led to; a scanner is unknown; or twins are not
            like the model, or were not scanned as it is to be.
    """
    subject = pair.subject
    check_served(subject.task)
    scanners, skipped = chosen(settings, given=True)
    shown = drawn(pair.data.fit(subject.spec.size, subject.spec.channels), settings.images, settings.seed)
    return Prepared(
        subject=subject,
        data=shown,
        images=shown.images,
        scanners=scanners,
        cells=model_cells(subject, scanners, shown, settings, one_pass),
        nulls=comparable(nulls, scanners, subject, settings),
        skipped=tuple(skipped),
    )


def with_infection(
    grid: Grid, cell: Callable[..., Cell], chunks: Sequence[tuple[int, int]], config: Mapping[str, Any], shown: int
) -> Grid:
    """Return the grid with the cells that try the suspected trigger; ``cell`` makes one, ``config`` has the plan."""
    infected = tuple(
        cell(f"infected/{a}", f"{INFECT}:infect", {"start": a, "stop": b, **config}, b - a) for a, b in chunks
    )
    examples = None
    if shown:
        sources = {f"infected{i}": one for i, one in enumerate(infected)}
        more = {**config, "examples": shown}
        examples = cell("infected-examples", f"{INFECT}:pictures", more, 12 * shown, **sources)
    return replace(grid, plan=make_plan(**config["plan"]), infected=infected, infected_examples=examples)


def attack_config(name: str, settings: AuditSettings, yardstick: Yardstick[Any]) -> dict[str, Any]:
    """Return what the cells of an attack depend on."""
    return {
        "attack": name,
        "options": yardstick.options(name, settings.steps),
        "goal": settings.goal,
        "grey_levels": list(settings.levels(name)),
        "keep": settings.reference,
        "follow_up": name == settings.strongest,
        "queries": settings.queries if query_only(name) else 0,
    }


def passes_of(name: str, settings: AuditSettings, options: Mapping[str, Any]) -> int:
    """Return how many passes an attack may take for an image, at most, for the estimate of the time."""
    if query_only(name):
        return settings.queries // FORWARD_OF_PASS
    steps = options.get("steps", 1 if name == "fgsm" else TYPICAL_STEPS)
    return len(settings.levels(name)) * (int(steps) + 2)
