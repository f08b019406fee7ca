"""Twins of a model: networks of its architecture, trained as it was, clean or infected with a known backdoor."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from aseptic.core.canon import canonical
from aseptic.core.errors import InputError
from aseptic.core.rng import derive
from aseptic.data.imageset import ImageSet
from aseptic.data.matching import match_classes
from aseptic.engine.cells import Cell, in_order
from aseptic.engine.runner import Outcome, Watcher, run_cells
from aseptic.engine.store import Store
from aseptic.models.card import CARD_FILE, read_card
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.poisoning.plan import PoisonPlan
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null
from aseptic.studies import raw
from aseptic.studies.backdoors.defending import scan
from aseptic.studies.backdoors.recipe import Known, Recipe, learn, probe
from aseptic.studies.infection.answers import TRIGGERED
from aseptic.studies.scan.cells import shown_key, shown_set
from aseptic.studies.scan.passes import most_passes

DATA = "data"
"""What the data set is called in the cells."""
SEEDS = 2**31
"""Seeds of training runs lie below it."""
MACHINE = frozenset({"accelerator", "devices", "strategy", "workers"})
"""Training settings that say where, not how."""
PLANAR = 2
"""Space axes of a picture."""
TAKEN = 0.8
"""Least success of a trigger with which a twin counts as infected: what did not take cannot be found."""


@dataclass(frozen=True, kw_only=True)
class Twins:
    """How many twins there are, and what they are scanned with.

    Raises:
        InputError: A number is below its least.
    """

    clean: int = 20
    """Clean twins; a false-positive rate of 5 % needs 19."""
    plans: Mapping[str, PoisonPlan] = field(default_factory=dict)
    """Kind of backdoor to the plan by which infected twins of that kind are poisoned."""
    infected: int = 10
    """Infected twins of each kind."""
    split: str = "test"
    """Split of the images that models are scanned with and backdoors are tried on."""
    images: int = 64
    """Images that models are scanned with, at most."""
    seed: int = 0
    """Root of all randomness: each twin has weights, order and augmentation of its own."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("clean", 1), ("infected", 1), ("images", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be a whole number of at least {least}, got {getattr(self, name)!r}")


@dataclass(frozen=True, kw_only=True, eq=False)
class TwinGrid:
    """The cells of the twins of one model."""

    recipe: Recipe
    """How every twin is trained, but for its seed."""
    data: ImageSet
    """What they learn from, with the classes in the model's order."""
    scanner: ModelScanner
    """What they are scanned with."""
    twins: Twins
    """How many there are."""
    one_pass: float = 0.0
    """Seconds that a forward and backward pass takes for one image, for the estimate of the time."""

    @cached_property
    def known(self) -> Known:
        """What cells call the data set, and its content."""
        return DATA, self.data.fingerprint()

    @property
    def shown(self) -> str:
        """Which images they are scanned with, as a hash."""
        return shown_key(shown_set(self.data, self.recipe, self.twins.split, self.twins.images, self.twins.seed))

    @cached_property
    def clean(self) -> dict[str, Cell]:
        """Name of a clean twin to the cell that scans it."""
        names = [f"clean/{number}" for number in range(self.twins.clean)]
        return {name: self._scan(name, None) for name in names}

    @cached_property
    def infected(self) -> dict[str, dict[str, tuple[Cell, Cell]]]:
        """Kind of backdoor, to the twins that carry it: the cell that scans one, and the one that tries its trigger."""
        found: dict[str, dict[str, tuple[Cell, Cell]]] = {}
        for kind, plan in self.twins.plans.items():
            found[kind] = {}
            for number in range(self.twins.infected):
                name = f"{kind}/{number}"
                scanned = self._scan(name, plan)
                tried = probe(f"tried/{name}", scanned.inputs["model"], self.known, plan)
                found[kind][name] = scanned, tried
        return found

    def cells(self) -> list[Cell]:
        """Return all cells."""
        infected = [cell for group in self.infected.values() for two in group.values() for cell in two]
        return [*self.clean.values(), *infected]

    def context(self, device: str) -> dict[str, Any]:
        """Return what the cells are handed."""
        return {"data": {DATA: self.data}, "device": device}

    def _scan(self, name: str, plan: PoisonPlan | None) -> Cell:
        settings = {**self.recipe.training, "seed": derive(self.twins.seed, "twin", name) % SEEDS}
        recipe = self.recipe.model_copy(update={"training": settings})
        seconds = self.one_pass * recipe.config().epochs * sum(item.split == "train" for item in self.data.items)
        trained = learn(f"twin/{name}", recipe, self.known, plan=plan, seconds=seconds)
        described = self.scanner.describe()
        passes = most_passes(self.scanner, len(self.data.classes), self.twins.images)
        return scan(
            f"{self.scanner.name}/{name}",
            trained,
            self.known,
            scanner=str(described.pop("name")),
            options=described,
            split=self.twins.split,
            images=self.twins.images,
            seed=self.twins.seed,
            seconds=passes * self.one_pass,
        )


def training_of(folder: Path) -> dict[str, Any]:
    """Return the settings that the model in a folder was trained with, as its card has them.

    Raises:
        InputError: There is no card, it does not say, or the model was fine-tuned from weights that twins do not have.
    """
    facts = read_card(folder / CARD_FILE).training.get("facts")
    if not isinstance(facts, dict):
        raise InputError(f"{folder / CARD_FILE} must say how the model was trained, got nothing: give the settings")
    if facts.get("started_from") is not None:
        raise InputError(f"the model in {folder} was fine-tuned, and its twins would have to begin as it did")
    names = {one.name for one in fields(TrainConfig)} - MACHINE
    return {name: value for name, value in facts.items() if name in names}


def recipe_of(subject: Subject, training: Mapping[str, Any]) -> Recipe:
    """Return how networks like ``subject`` are trained with these settings of a ``TrainConfig``.

    Raises:
        InputError: The architecture has no name, or its input is not a square of known size.
    """
    if not subject.architecture:
        raise InputError(f"model {subject.name!r} has no architecture name, without which it has no twins")
    size, spec = subject.spec.size, subject.spec
    if size is None or len(size) != PLANAR or len(set(size)) != 1:
        raise InputError(
            f"twins need a model that is fed squares of one size, got {list(size) if size else 'any size'}"
        )
    return Recipe(
        arch=subject.architecture,
        size=size[0],
        channels=spec.channels,
        mean=spec.mean,
        std=spec.std,
        training=json.loads(canonical(dict(training))),
    )


def twin_grid(
    subject: Subject, data: ImageSet, scanner: ModelScanner, twins: Twins, training: Mapping[str, Any]
) -> TwinGrid:
    """Return the cells that train and scan the twins of a model.

    Args:
        subject: The model; only its architecture, input and classes matter.
        data: What its twins learn from: splits ``train`` and ``val``, and the one that is scanned with.
        scanner: What they are scanned with.
        twins: How many.
        training: Settings of `aseptic.models.train_config.TrainConfig`, as near to those of the model as is known.

    Raises:
        InputError: The data is not of the model's task and classes, or the model can have no twins.
    """
    if data.task != subject.task.name:
        raise InputError(f"data must be {subject.task.name} as the model is, got {data.task}")
    recipe = recipe_of(subject, training)
    return TwinGrid(recipe=recipe, data=match_classes(data, subject.task.classes), scanner=scanner, twins=twins)


def calibrate(grid: TwinGrid, store: Path, *, device: str = "cpu", watch: Watcher = lambda _: None) -> Null:
    """Train and scan the twins, and return their statistics; those that are in the store are not computed again.

    A twin that fails is left out and named in the facts, as is an infected one that its own trigger does not open.

    Args:
        grid: The twins.
        store: Folder of computed cells.
        device: What networks are trained and scanned on.
        watch: Told of every cell.
    """
    ended = run_cells(grid.cells(), Store(store), context=grid.context(device), watch=watch)
    return null_of(grid, ended)


def null_of(grid: TwinGrid, ended: Mapping[str, Outcome]) -> Null:
    """Return the statistics of twins whose cells have been run; of other cells nothing is said.

    Args:
        grid: The twins.
        ended: How cells ended, by their names.
    """
    own = {cell.name for cell in in_order(grid.cells())}
    ended = {name: one for name, one in ended.items() if name in own}
    failed = {name: one.reason for name, one in ended.items() if one.stored is None}
    infected: dict[str, dict[str, float]] = {}
    opened: dict[str, JsonValue] = {}
    for kind, group in grid.infected.items():
        found = {name: _statistic(ended[scanned.name]) for name, (scanned, _) in group.items()}
        success = {name: _success(ended[tried.name]) for name, (_, tried) in group.items()}
        opened |= success
        infected[kind] = {
            name: value for name, value in found.items() if value is not None and (success[name] or 0) >= TAKEN
        }
    clean = {name: _statistic(ended[cell.name]) for name, cell in grid.clean.items()}
    return Null(
        scanner=grid.scanner.describe(),
        clean={name: value for name, value in clean.items() if value is not None},
        infected=infected,
        facts={
            "recipe": grid.recipe.told(),
            "data": grid.known[1],
            "split": grid.twins.split,
            "images": grid.twins.images,
            "shown": grid.shown,
            "seed": grid.twins.seed,
            "success": opened,
            "failed": dict(failed),
        },
    )


def _statistic(ended: Outcome) -> float | None:
    return None if ended.stored is None else float(ended.stored.value["statistic"])


def _success(ended: Outcome) -> float | None:
    """Return the share of the images not of the target that the trigger leads to it; None where nothing is known."""
    if ended.stored is None:
        return None
    rows = raw.frame({ended.cell.name: ended.stored.folder})
    rows = rows[(rows["condition"] == TRIGGERED) & ~rows["already"]]
    return float(rows["reached"].mean()) if len(rows) else None
