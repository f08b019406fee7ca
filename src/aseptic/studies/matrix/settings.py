"""What a matrix of triggers and defences consists of, and what its cells and findings are called."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from aseptic.core.errors import InputError
from aseptic.core.registry import Registry
from aseptic.core.rng import derive
from aseptic.defences.catalogue import DEFENCES
from aseptic.detectors.catalogue import DETECTORS
from aseptic.poisoning.plan import PoisonPlan
from aseptic.scanners.catalogue import SCANNERS
from aseptic.scanners.sets.catalogue import SET_SCANNERS
from aseptic.studies.backdoors.defending import CLEAN_IMAGES, RATE
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.study import distinct
from aseptic.studies.scan.twins import SEEDS

Kind = Literal["scanners", "sets", "detectors", "cures"]
"""What a defence is given: a network, a training set, an input, or a network that it changes."""
KINDS: dict[Kind, Registry[Any]] = {
    "scanners": SCANNERS,
    "sets": SET_SCANNERS,
    "detectors": DETECTORS,
    "cures": DEFENCES,
}
"""Kind of defence to the catalogue of its methods, in the order of the table."""
CLEAN, NONE, BYPASSED = "clean", "none", "bypassed"
"""Names in ids of findings: the row of clean networks, no defence at all, and which defences a trigger bypasses."""
MOST = 0.5
"""Largest share of clean things that may be called suspicious."""
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""Form of the names of triggers and defences."""
Options = dict[str, dict[str, Any]]
"""Name of a defence to its settings; ``name`` among them where it is called otherwise than its method."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One defence of a matrix."""

    kind: Kind
    """What it is given."""
    label: str
    """Its name in cells and findings."""
    method: str
    """Its name in the catalogue of its kind."""
    options: dict[str, Any]
    """Settings that differ from the defaults."""


class Matrix(BaseModel):
    """Triggers, defences and seeds, and what defenders have."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    """Network and training; the seed of the training is that of the row."""
    triggers: dict[str, PoisonPlan]
    """Name of a trigger to how it poisons the training set; the seed of the plan is that of the row."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds of the infected networks of each trigger; intervals are over them, and need three or more to say much."""
    scanners: Options = {}
    """Scanners of models."""
    sets: Options = {}
    """Scanners of training sets."""
    detectors: Options = {}
    """Detectors of inputs."""
    cures: Options = {}
    """Cures."""
    clean: int = Field(default=CLEAN_IMAGES, ge=1)
    """Clean images of the val split that cures learn from and detectors are fitted to, at most."""
    images: int = Field(default=CLEAN_IMAGES, ge=1)
    """Test images that detectors score, at most."""
    scanned: int = Field(default=64, ge=1)
    """Clean images of the val split that networks are scanned with, at most."""
    draws: int = Field(default=19, ge=1)
    """Permutations of the labels that a training set is compared with."""
    twins: int = Field(default=19, ge=0)
    """Clean networks that scanned ones are compared with, each with a seed of its own."""
    rate: float = RATE
    """Share of clean images, sets and networks that may be called suspicious, in (0, 0.5]."""
    name: str = "matrix"
    """First part of the ids of its findings, and of the groups of its cells."""

    @model_validator(mode="after")
    def _check(self) -> "Matrix":
        labels = [one.label for one in self.defences()]
        for what, names in (("defences", labels), ("seeds", [str(seed) for seed in self.seeds])):
            distinct(names, f"{what} of a matrix")
        if not self.triggers or not labels or not self.seeds:
            raise InputError("a matrix must have a trigger, a defence and a seed, got none of one of them")
        for name in (self.name, *self.triggers, *labels):
            if not SLUG.fullmatch(name) or name in {CLEAN, NONE, BYPASSED}:
                raise InputError(
                    f"names in a matrix must be of small letters, digits, - and _, and not {CLEAN}, {NONE} or "
                    f"{BYPASSED}; got {name!r}"
                )
        if not 0 < self.rate <= MOST:
            raise InputError(f"rate must lie in (0, {MOST:g}], got {self.rate:g}")
        for one in self.defences():
            KINDS[one.kind].load(one.method)
        for what, count in (("twins", self.twins if self.scanners else None), ("draws", self.draws)):
            if count is not None and Fraction(str(self.rate)) * (count + 1) < 1:
                raise InputError(
                    f"{what} must be enough for a rate of {self.rate:g}, {-(-1 // Fraction(str(self.rate))) - 1} or "
                    f"more; got {count}"
                )
        return self

    def defences(self, *kinds: Kind) -> Iterator[Asked]:
        """Yield the defences of some kinds, or all, in the order of the table."""
        for kind in kinds or KINDS:
            given: Options = getattr(self, kind)
            for label, options in given.items():
                rest = {name: value for name, value in options.items() if name != "name"}
                yield Asked(kind=kind, label=label, method=str(options.get("name", label)), options=rest)

    def plan(self, trigger: str, seed: int) -> PoisonPlan:
        """Return how the training set of an infected network is poisoned."""
        return self.triggers[trigger].model_copy(update={"seed": seed})

    def trained(self, seed: int) -> Recipe:
        """Return how the network of a seed is trained."""
        return self.recipe.model_copy(update={"training": {**self.recipe.training, "seed": seed}})

    @property
    def twin_seeds(self) -> tuple[int, ...]:
        """Seeds of the clean networks: twins for the scanners; for the others, as many as there are seeds."""
        judged = len(self.seeds) if self.detectors or self.sets else 0
        count = max(self.twins if self.scanners else 0, judged)
        return tuple(derive(self.seeds[0], "clean network", number) % SEEDS for number in range(count))

    @property
    def judged_twins(self) -> tuple[int, ...]:
        """Seeds of the clean networks whose inputs and training sets are judged: as many as there are seeds."""
        return self.twin_seeds[: len(self.seeds)]

    def cell(self, kind: str, trigger: str, seed: int, defence: str = "") -> str:
        """Return the name of a cell: ``matrix-cure/fiba/0/anp``."""
        return "/".join([f"{self.name}-{kind}", trigger, str(seed), *([defence] if defence else [])])

    def finding(self, trigger: str, defence: str, metric: str = "") -> str:
        """Return the id of a finding: ``matrix.fiba.anp.success_left``."""
        return ".".join([self.name, trigger, defence, *([metric] if metric else [])])
