"""The cells of the study: what is trained, fine-tuned, probed and explained, by name."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from aseptic.engine.cells import Cell
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.backdoors.measures import Case
from aseptic.studies.backdoors.recipe import Recipe, explain, find, follow, learn, probe
from aseptic.studies.frame.study import Setup
from aseptic.studies.matsuo2021.settings import HALVES, LISTED, TRIGGER, Settings, Tuning, plan_for

MOVED = "augmented"
"""Network that is trained with augmentation after the trigger is in (trap 2g-6)."""
STUDY = "aseptic.studies.matsuo2021"
HALF = HALVES[0]
BESIDE = "beside"
"""Set that stands beside the paper's at desk scale."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One network that the attacker trains."""

    name: str
    """Name in cells and findings: ``twin``, ``to-covid``, ``shift``."""
    where: str
    """Name of its data set."""
    plan: PoisonPlan | None
    """How its training set is poisoned; None for the clean twin."""
    recipe: Recipe
    """Network and training."""

    @property
    def prefix(self) -> str:
        """What begins its findings."""
        return self.name if self.where == HALF else f"{self.where}.{self.name}"

    @property
    def args(self) -> dict[str, Any]:
        """What distinguishes it."""
        return {"data": self.where, "arch": self.recipe.arch, "size": self.recipe.size}

    def cell(self, kind: str) -> str:
        """Return the name of one of its cells."""
        return f"{kind}/{self.where}/{self.name}"


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """One infected network that is fine-tuned in one way."""

    start: Trained
    """Where it begins."""
    way: Tuning
    """How it is trained on."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Training settings of all fine-tuning."""

    @property
    def prefix(self) -> str:
        """What begins its findings."""
        return f"tuned.{self.start.name}.{self.way.name}"

    @property
    def cell(self) -> str:
        """Name of its cell."""
        return f"tuned/{self.start.name}/{self.way.name}"

    @property
    def recipe(self) -> Recipe:
        """Network and training."""
        training = {**self.settings, **self.way.training}
        return self.start.recipe.model_copy(update={"training": training})


def targets(setup: Setup[Settings], name: str) -> tuple[str, ...]:
    """Return the classes that the attacker aims at."""
    return setup.data[name].classes


def networks(setup: Setup[Settings]) -> tuple[Trained, ...]:
    """Return every network of the attacker; clean twins first."""
    made, found = setup.settings, list[Trained]()
    for name, recipe in ((HALF, made.recipe), (BESIDE, made.beside)):
        if recipe is None or name not in setup.data:
            continue
        plans = {"twin": None, **{f"to-{one}": plan_for(made, rule="to", target=one) for one in targets(setup, name)}}
        if name == HALF:
            plans |= {"shift": plan_for(made, rule="shift"), "random": plan_for(made, rule="random")}
        found += [Trained(name=called, where=name, plan=plan, recipe=recipe) for called, plan in plans.items()]
    moved = made.recipe.model_copy(update={"training": made.recipe.training | made.moved})
    if moved.told() != made.recipe.told():
        plan = plan_for(made, rule="to", target=targets(setup, HALF)[-1])
        found.append(Trained(name=MOVED, where=HALF, plan=plan, recipe=moved))
    return tuple(found)


def main_target(setup: Setup[Settings]) -> str:
    """Return the name of the network that is looked at most closely: that of the last target (COVID-19)."""
    return f"to-{targets(setup, HALF)[-1]}"


def fine_tuned(setup: Setup[Settings]) -> tuple[Tuned, ...]:
    """Return every fine-tuning: each infected network the first way, the one of the last target every way."""
    made, found = setup.settings, list[Tuned]()
    for one in networks(setup):
        if one.where == HALF and one.plan is not None and one.name != MOVED:
            ways = made.ways if one.name == main_target(setup) else made.ways[:1]
            found += [Tuned(start=one, way=way, settings=made.tuning) for way in ways]
    return tuple(found)


def asked(one: Trained, setup: Setup[Settings]) -> dict[str, PoisonPlan]:
    """Return the plans that a network is asked about, by the kind of cell.

    An infected one is asked about its own; the twin, about every target, so that what an honest model already scores is
    known; a targeted one also about COVID-19, as the released script asks whatever the target (trap 2g-1).
    """
    if one.plan is not None:
        last = targets(setup, one.where)[-1]
        released = plan_for(setup.settings, rule="to", target=last)
        return {"probe": one.plan, **({"released": released} if one.plan.label.target not in {None, last} else {})}
    aims = targets(setup, one.where)
    kinds = ["probe", *(f"probe-{name}" for name in aims[1:])]
    return {kind: plan_for(setup.settings, rule="to", target=name) for kind, name in zip(kinds, aims, strict=True)}


def case(one: Trained, setup: Setup[Settings], kind: str = "probe") -> Case:
    """Return what is measured on a network; of the twin, and of the released question, the target is in the prefix."""
    plans = asked(one, setup)
    plan, prefix = plans.get(kind, plans["probe"]), one.prefix
    if one.plan is None:
        prefix = f"{prefix}.{plan.label.target}"
    elif kind == "released":
        prefix = f"{prefix}.{kind}"
    return Case(prefix=prefix, cell=one.cell(kind), data=setup.data[one.where], plan=plan, args=one.args)


def cells(setup: Setup[Settings]) -> Sequence[Cell]:
    """Return the grid."""
    grid = [_halves(setup), _augmented(setup.settings)]
    trained: dict[str, Cell] = {}
    for one in networks(setup):
        test = (one.where, setup.fingerprints[one.where])
        trained[one.prefix] = learn(one.cell("train"), one.recipe, test, plan=one.plan)
        grid.append(trained[one.prefix])
        grid += [probe(one.cell(kind), trained[one.prefix], test, plan) for kind, plan in asked(one, setup).items()]
        if one.prefix == main_target(setup) and one.plan is not None:
            more = {"images": setup.settings.explained}
            explainers = ["gradcam", "saliency"]
            grid.append(
                explain(one.cell("explain"), trained[one.prefix], test, one.plan, **more, explainers=explainers)
            )
            grid.append(find(one.cell("find"), trained[one.prefix], test, one.plan, **more))
    for tuned in fine_tuned(setup):
        start, way = tuned.start, tuned.way
        data = (way.data, setup.fingerprints[way.data])
        step = learn(tuned.cell, tuned.recipe, data, start=trained[start.prefix], share=way.share)
        if start.plan is not None:
            grid.append(follow(step, tuned.cell, (HALF, setup.fingerprints[HALF]), start.plan))
    return grid


def _halves(setup: Setup[Settings]) -> Cell:
    """Return the cell that says which half each training image is in."""
    content = {name: setup.fingerprints[name] for name in (*HALVES, LISTED) if name in setup.fingerprints}
    seed = setup.settings.recipe.config().seed
    return Cell(name="halves", function=f"{STUDY}.cells:halves", config={"content": content, "seed": seed})


def _augmented(made: Settings) -> Cell:
    """Return the cell of trap 2g-6."""
    training = made.recipe.told()["training"] | made.moved
    config = {"trigger": TRIGGER, "size": made.recipe.size, "training": training, "draws": 2000, "seed": 0}
    return Cell(name="place", function="aseptic.studies.backdoors.survival:augmented", config=config)
