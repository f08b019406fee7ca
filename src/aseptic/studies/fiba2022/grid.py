"""The cells of the study: what is trained and probed, by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from aseptic.engine.cells import Cell
from aseptic.studies.backdoors.measures import Case
from aseptic.studies.backdoors.picturing import SHEET
from aseptic.studies.backdoors.recipe import Known, follow, learn, picture, probe
from aseptic.studies.backdoors.trained import Trained
from aseptic.studies.fiba2022.settings import FIBA, PUBLISHED, RIVALS, SKIN, Settings, plan_for, poisoned, trigger_of
from aseptic.studies.frame.study import Picture, Setup
from aseptic.studies.matrix.grid import matrix_cells
from aseptic.studies.matrix.settings import Matrix

TWIN = "twin"
ALL = "all-to-all"
"""Network whose triggered images are each to be answered as the next class."""
OFFLINE = "offline"
"""FIBA with images that are poisoned once, before training."""
SHOWN = 2
"""Images that are shown of each network."""
FOLLOWED = ("val", "test")
"""Splits that FIBA's network is asked about after every epoch, for the released choice of one (trap 4g-1)."""


@dataclass(frozen=True, kw_only=True)
class Network(Trained):
    """One network of the grid."""

    @property
    def prefix(self) -> str:
        """What begins its findings."""
        return f"{self.where}.{self.name}"

    @property
    def args(self) -> dict[str, Any]:
        """What distinguishes it, for the record."""
        return {"data": self.where, "arch": self.recipe.arch, "size": [*self.recipe.space]}


def networks(setup: Setup[Settings]) -> tuple[Network, ...]:
    """Return every network that is trained, clean twins first."""
    return tuple(one for where in setup.settings.arms for one in _of(setup, where))


def _of(setup: Setup[Settings], where: str) -> Iterator[Network]:
    made, data = setup.settings, setup.data[where]
    arm = made.arms[where]
    plans = {name: plan_for(made, where, name, data) for name in arm.triggers}
    for alpha in arm.alphas:
        trigger = {**trigger_of(FIBA, arm), "alpha": alpha}
        plans[alpha_name(alpha)] = plan_for(made, where, FIBA, data, trigger=trigger)
    if where == SKIN:
        plans[ALL] = plan_for(made, where, FIBA, data, label={"rule": "all-to-all"})
        plans[OFFLINE] = plan_for(made, where, FIBA, data, loop="fixed")
    yield Network(name=TWIN, where=where, plan=None, asked=plans[FIBA], recipe=arm.recipe)
    for name, plan in plans.items():
        yield Network(name=name, where=where, plan=plan, asked=plan, recipe=arm.recipe)


def alpha_name(alpha: float) -> str:
    """Return the name of the network with this strength of FIBA, where it is not the usual one."""
    return f"alpha-{alpha:g}"


def alphas(made: Settings) -> tuple[tuple[float, str], ...]:
    """Return every strength of FIBA on the first set, and the name of its network."""
    arm = made.arms[SKIN]
    usual = float(trigger_of(FIBA, arm).get("alpha", PUBLISHED))
    return ((usual, FIBA), *((alpha, alpha_name(alpha)) for alpha in arm.alphas))


def matrix_of(setup: Setup[Settings]) -> Matrix | None:
    """Return the matrix of triggers and defences; None where none are tried."""
    arm = setup.settings.defended
    if arm is None:
        return None
    plans = {name: poisoned(arm, name, setup.data[SKIN], setup.settings.seed) for name in arm.triggers}
    return Matrix(recipe=arm.recipe, triggers=plans, **setup.settings.defences)


def case(one: Network, setup: Setup[Settings], kind: str = "probe") -> Case:
    """Return what is measured on a network."""
    data = setup.data[one.where]
    return Case(prefix=one.prefix, cell=one.cell(kind), data=data, plan=one.asked, args=one.args, decoys=True)


def shifted(setup: Setup[Settings]) -> Case:
    """Return the question of trap 4g-3: what the clean twin says of images with the all-to-all network's trigger."""
    found = {(one.where, one.name): one for one in networks(setup)}
    twin = replace(found[SKIN, TWIN], asked=found[SKIN, ALL].asked)
    return replace(case(twin, setup, ALL), prefix=f"{SKIN}.{TWIN}.{ALL}")


def cells(setup: Setup[Settings]) -> Sequence[Cell]:
    """Return the grid."""
    grid: list[Cell] = []
    for one in networks(setup):
        known = one.where, setup.fingerprints[one.where]
        trained = _learned(one, known)
        grid += [trained, probe(one.cell("probe"), trained, known, one.asked, decoys=True)]
        if (one.where, one.name) == (SKIN, TWIN):
            about = shifted(setup)
            grid.append(probe(about.cell, trained, known, about.plan))
        if drawn(one):
            grid.append(picture(one.cell("picture"), trained, known, one.asked, images=SHOWN))
    if (matrix := matrix_of(setup)) is not None:
        grid += matrix_cells(matrix, (SKIN, setup.fingerprints[SKIN]))
    return grid


def drawn(one: Network) -> bool:
    """Return whether images of a network are shown: one for each trigger and set."""
    return one.name == FIBA or one.name in RIVALS


def pictures(setup: Setup[Settings]) -> Sequence[Picture]:
    """Return the sheets of images with and without each trigger."""
    found = []
    for one in networks(setup):
        if drawn(one):
            told = f"{one.name} on {setup.data[one.where].name}"
            alt = f"Clean and triggered images, what the trigger changes, and both spectra: {told}."
            caption = f"{told}: test images, and what the infected network says of them."
            found.append(Picture(cell=one.cell("picture"), file=SHEET, alt=alt, caption=caption))
    return found


def _learned(one: Network, known: Known) -> Cell:
    trained = learn(one.cell("train"), one.recipe, known, plan=one.plan)
    if (one.where, one.name) != (SKIN, FIBA):
        return trained
    return follow(trained, trained.name, known, one.asked, splits=FOLLOWED)
