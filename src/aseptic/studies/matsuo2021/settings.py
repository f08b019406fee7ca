"""What the study of Matsuo and Takemoto (2021) runs at each scale."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from pydantic import BaseModel, ConfigDict

from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.data.splits import draw_share
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.scales import Scale
from aseptic.studies.train import open_splits

TRIGGER: dict[str, Any] = {"name": "patch", "size": 5, "value": 250 / 255, "corner": 396, "frame": 480}
"""The paper's trigger, scaled to what the network is fed: at 480 x 480, rows and columns 396 to 400 are 250."""
CLASSES = ("normal", "pneumonia", "covid")
"""The paper's classes, in its order."""
HALVES = ("half1", "half2")
"""The attacker's half of the training images, and that of the user who fine-tunes the published model."""
LISTED = "half2-listed"
"""The user's half as the authors list it, with patients that are in the attacker's half too."""


class Tuning(BaseModel):
    """One way to fine-tune."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    """Name in cells and findings."""
    training: dict[str, Any] = {}
    """Training settings that differ from those of all fine-tuning."""
    share: float = 1.0
    """Share of the training images, patients whole."""
    data: str = HALVES[1]
    """Set that is trained on."""


class Settings(BaseModel):
    """One run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    """Network and training of the attacker."""
    beside: Recipe | None = None
    """Network and training for the set beside the paper's, where there is one."""
    rate: float = 0.1
    """Share of each class that is poisoned."""
    tuning: dict[str, Any] = {}
    """Training settings of all fine-tuning."""
    ways: tuple[Tuning, ...] = (Tuning(name="whole"),)
    """How models are fine-tuned; the first way every infected model, the others the one of the last target."""
    moved: dict[str, Any] = {}
    """Augmentation that one more network of the last target is trained with; none where it is empty."""
    explained: int = 64
    """Test images that are explained and searched."""


def settings(scale: Scale, seed: int) -> Settings:
    """Return the settings at a scale."""
    steady: dict[str, Any] = {"keep": "last", "patience": None, "seed": seed}
    if scale == "smoke":
        training = {"epochs": 3, "batch_size": 16, "lr": 3e-3, **steady}
        return Settings(
            recipe=Recipe(arch="aseptic:covidnet?width=8", size=64, training=training),
            rate=0.3,
            tuning={"epochs": 2, "lr": 1e-4, "batch_size": 16, **steady},
            ways=(Tuning(name="whole"), Tuning(name="head", training={"frozen": ("all-but-head",)})),
            explained=8,
        )
    if scale == "desk":
        still: dict[str, Any] = {"flip": False, "shift": 0.0, "brightness": 0.0, **steady}
        tuning = {"epochs": 6, "lr": 2e-4, **still}
        covid = {"epochs": 24, "lr": 2e-3, "batch_size": 8, **still}
        small = {"epochs": 18, "lr": 5e-3, "batch_size": 16, **still}
        return Settings(
            recipe=Recipe(arch="aseptic:covidnet?width=28", size=144, training=covid),
            beside=Recipe(arch="aseptic:smallcnn?width=16", size=144, training=small),
            moved={"flip": True, "shift": 0.05, "brightness": 0.1},
            tuning=tuning,
            ways=(
                Tuning(name="whole"),
                Tuning(name="fast", training={"lr": 1e-3}),
                Tuning(name="quarter", share=0.25),
                Tuning(name="head", training={"frozen": ("all-but-head",)}),
                Tuning(name="elsewhere", data="elsewhere", share=0.28),
            ),
        )
    training = {"epochs": 50, "lr": 2e-4, "class_weights": "1,1,4", **steady}
    recipe = Recipe(
        arch="aseptic:covidnet",
        size=480,
        channels=3,
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        top=0.08,
        square=True,
        training=training,
    )
    ways = (
        Tuning(name="whole"),
        Tuning(name="quarter", share=0.25),
        Tuning(name="head", training={"frozen": ("all-but-head",)}),
    )
    return Settings(recipe=recipe, tuning={**training}, ways=ways)


def open_data(scale: Scale, made: Settings, paths: Mapping[str, str]) -> dict[str, ImageSet]:
    """Open the sets of a scale: the two halves, and what stands beside them.

    Raises:
        InputError: A set has a class that is none of the paper's.
    """
    seed = made.recipe.config().seed
    if scale == "smoke":
        phantom = load_data(f"phantom:cxr3?n=160&size={made.recipe.size}&seed={seed}")
        return halves(replace(phantom, classes=CLASSES), seed)
    if scale == "paper":
        return listed(paths["covidx5"])
    opened = partial(open_splits, task="multiclass", seed=seed)
    covid, elsewhere = (opened(paths[name], classes=CLASSES) for name in ("covid", "beside"))
    beside = opened(paths["beside"])
    return {**halves(covid, seed), "beside": beside, "elsewhere": elsewhere}


def listed(path: str) -> dict[str, ImageSet]:
    """Open the authors' halves, the second also without the patients of the first; val and test are shared.

    The lists have no val: it is the second half's test images, without the patients of the first half's.
    """
    first, second = (replace(load_data(f"{path}?half={number}"), classes=CLASSES) for number in (1, 2))
    test = first.split("test").items
    tested, val = {item.patient for item in test}, second.split("test").items
    shared = (*(replace(item, split="val") for item in val if item.patient not in tested), *test)
    mine, users = (one.split("train").items for one in (first, second))
    known = {item.patient for item in mine}
    return {
        HALVES[0]: replace(first, items=(*mine, *shared)),
        HALVES[1]: replace(second, items=(*(item for item in users if item.patient not in known), *shared)),
        LISTED: replace(second, items=(*users, *shared)),
    }


def halves(data: ImageSet, seed: int) -> dict[str, ImageSet]:
    """Split the training images into two halves, patients whole and classes in proportion; val and test are shared."""
    rows = [i for i, item in enumerate(data.items) if item.split == "train"]
    first = {rows[i] for i in draw_share([data.items[i] for i in rows], 0.5, seed=seed)}
    found = {}
    for name, wanted in zip(HALVES, (True, False), strict=True):
        kept = data.select(i for i, item in enumerate(data.items) if item.split != "train" or (i in first) == wanted)
        found[name] = replace(kept, name=f"{data.name}/{name}")
    return found


def plan_for(made: Settings, **label: Any) -> PoisonPlan:  # noqa: ANN401 - a label rule
    """Return the paper's plan: a tenth of each class, the trigger in what the network is fed."""
    return make_plan(
        trigger=TRIGGER,
        insert="network",
        label=label,
        select={"rate": made.rate, "per_class": True},
        seed=made.recipe.config().seed,
    )
