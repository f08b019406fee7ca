"""The cells of the study: what is trained, probed and explained, by name."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aseptic.data.imageset import ImageSet
from aseptic.engine.cells import Cell
from aseptic.studies.backdoors.measures import Case
from aseptic.studies.backdoors.recipe import Recipe, explain, find, learn, probe
from aseptic.studies.backdoors.trained import Trained
from aseptic.studies.frame.study import Setup
from aseptic.studies.nwadike2021.settings import Regime, Settings, plan_for

SURVIVAL = "aseptic.studies.backdoors.survival:prepared"
PRIMARY = ("real", "phantom")
"""Sets in the order in which one of them is the one that claims are about."""
RELEASED = "gradcam-skipping-other"
"""Grad-CAM as released: the last block skipped, and an output explained that is never the first (traps 1g-6, 1g-7)."""
CATEGORICAL = {"loss": "categorical"}
"""Training settings of the released code: categorical cross-entropy on sigmoid outputs (trap 1g-4)."""


def primary(setup: Setup[Settings]) -> str:
    """Return the name of the set that claims are about."""
    return next(name for name in PRIMARY if name in setup.data)


@dataclass(frozen=True, kw_only=True)
class Network(Trained):
    """One network of the grid."""

    twin: str = ""
    """Name of its clean twin; empty where it has none."""
    args: dict[str, Any] = field(default_factory=dict)
    """What distinguishes it."""

    def prefix(self, primary: str) -> str:
        """Return what begins its findings."""
        return self.name if self.where == primary else f"{self.where}.{self.name}"


def networks(setup: Setup[Settings]) -> tuple[Network, ...]:
    """Return every network that is trained, clean twins first."""
    found: list[Network] = []
    for name, data in setup.data.items():
        found += _pair(setup, name, data)
        if name == primary(setup):
            found += _varied(setup, name, data)
    return tuple({(one.where, one.name): one for one in found}.values())


def _pair(setup: Setup[Settings], name: str, data: ImageSet) -> Iterator[Network]:
    made, base = setup.settings, plan_for(data, setup.settings)
    pairs = {"base": ("twin", made.recipe)}
    if made.varied is not None and name == primary(setup):
        pairs["varied"] = ("varied-twin", made.varied)
    for called, (twin, recipe) in pairs.items():
        args = {"side": made.side, "rate": made.rate, "regime": "replace", "data": name, "arch": recipe.arch}
        yield Network(name=twin, where=name, plan=None, asked=base, recipe=recipe, args={"data": name})
        yield Network(name=called, where=name, plan=base, asked=base, recipe=recipe, twin=twin, args=args)


def _varied(setup: Setup[Settings], name: str, data: ImageSet) -> Iterator[Network]:
    made = setup.settings
    other = made.varied or made.recipe

    def network(called: str, recipe: Recipe, **varied: Any) -> Network:  # noqa: ANN401 - settings of a plan
        plan = plan_for(data, made, **varied)
        args = {"side": made.side, "rate": made.rate, "regime": "replace", "data": name, "arch": recipe.arch, **varied}
        twin = "twin" if recipe == made.recipe else "varied-twin" if recipe == other else ""
        return Network(name=called, where=name, plan=plan, asked=plan, recipe=recipe, twin=twin, args=_plain(args))

    for side in made.sides:
        if side != made.side:
            yield network(f"side-{side}", other, side=side)
    for rate, regime in rate_grid(made):
        if (rate, regime) != (made.rate, "replace"):
            yield network(f"{regime}-{rate:g}", other, rate=rate, mode=regime)
    for trigger in made.placeless:
        yield network(f"trigger-{trigger}", other, trigger={"name": trigger})
    if made.variants:
        released = made.recipe.model_copy(update={"training": made.recipe.training | CATEGORICAL})
        yield network("first", made.recipe, draw="first")
        yield network("categorical", released)


def _plain(args: dict[str, Any]) -> dict[str, Any]:
    """Return the settings as a record says them."""
    if "mode" in args:
        args["regime"] = args.pop("mode")
    return args


def rate_grid(made: Settings) -> tuple[tuple[float, Regime], ...]:
    """Return every rate in every regime."""
    return tuple((rate, regime) for regime in made.regimes for rate in made.rates)


def case(one: Network, setup: Setup[Settings], kind: str = "probe") -> Case:
    """Return what is measured on a network."""
    return Case(
        prefix=one.prefix(primary(setup)),
        cell=one.cell(kind),
        data=setup.data[one.where],
        plan=one.asked,
        args=one.args,
    )


def found_by(setup: Setup[Settings]) -> tuple[Network, ...]:
    """Return the networks whose triggers are looked for: the paper's, and those without a place."""
    wanted = {"base", *(f"trigger-{name}" for name in setup.settings.placeless)}
    return tuple(one for one in networks(setup) if one.name in wanted and one.where == primary(setup))


def cells(setup: Setup[Settings]) -> Sequence[Cell]:
    """Return the grid."""
    made, grid = setup.settings, [_survival()]
    sought = {(one.where, one.name) for one in found_by(setup)}
    for one in networks(setup):
        test = (one.where, setup.fingerprints[one.where])
        trained = learn(one.cell("train"), one.recipe, test, plan=one.plan)
        grid += [trained, probe(one.cell("probe"), trained, test, one.asked)]
        if one.name == "base":
            explainers = [*made.explainers, *([RELEASED] if one.where == primary(setup) else [])]
            more = {"images": made.explained, "explainers": explainers}
            grid.append(explain(one.cell("explain"), trained, test, one.asked, **more))
        if (one.where, one.name) in sought:
            grid.append(find(one.cell("find"), trained, test, one.asked, images=made.explained))
    return grid


def _survival() -> Cell:
    """Return the cell of trap 1g-1: what is left of the paper's triggers at the paper's own sizes."""
    config = {"side": 1024, "share": 0.6, "size": 224, "triggers": [1, 2, 3, 4, 5, 6]}
    return Cell(name="survival", function=SURVIVAL, config=config)
