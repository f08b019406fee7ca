"""What the study of Feng et al. (2022) runs at each scale."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from pydantic import BaseModel, ConfigDict

from aseptic.core.errors import InputError
from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.scales import Scale
from aseptic.studies.train import open_splits

FIBA = "fiba"
PUBLISHED = 0.15
"""Strength of FIBA in the paper."""
SKIN = "skin"
"""The set that rivals and defences are compared on."""
RIVALS: Mapping[str, Mapping[str, Any]] = {
    "badnets": {"name": "patch", "size": 3, "value": 1.0, "corner": [28, 28], "frame": 32},
    "blend": {"name": "blend"},
    "sig": {"name": "sig"},
    "refool": {"name": "refool"},
    "wanet": {"name": "wanet"},
    "ftrojan": {"name": "ftrojan"},
    "lf": {"name": "lf"},
}
"""What FIBA is compared with, each with its published settings; those of a patch are a share of the image's side."""
COVERS: Mapping[str, float] = {FIBA: 0.1, "wanet": 0.2}
"""Share of a batch that carries a decoy and keeps its labels, for the triggers that are published with such."""
TARGETS = ("AK", "akiec")
"""The class that images are to be answered as, by the names that sets give it: the rare actinic keratosis."""
PARTS = ("background", "anterior", "posterior")
LUNGS = ("background", "lung")
"""Classes of the masks of the sets at desk scale, in the order of their numbers."""


class Arm(BaseModel):
    """One data set, the networks that are trained on it, and what is done to it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    """Network and training."""
    label: dict[str, Any]
    """Label rule of the poisoned images; a target of None is found among the classes."""
    triggers: tuple[str, ...] = (FIBA,)
    """Triggers, by the names of `trigger_of`."""
    rate: float = 0.1
    """Share of a batch, or of the training images, that is poisoned."""
    cover: float | None = None
    """Share that carries a decoy and keeps its labels, for the triggers that are published with such; None: theirs."""
    loop: str = "batch"
    """``batch``, as the released code does it; ``fixed``: offline."""
    mode: str = "replace"
    """Whether poisoned images take the place of their originals; ``add``, as the authors did for detection."""
    alphas: tuple[float, ...] = ()
    """Further strengths of FIBA that a network is trained with."""
    options: dict[str, dict[str, Any]] = {}
    """Settings of triggers that differ from the published ones."""


class Settings(BaseModel):
    """One run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arms: dict[str, Arm]
    """Data sets by name."""
    seed: int = 0
    """Root of all randomness."""
    defended: Arm | None = None
    """Network and triggers that defences are tried on, with the images of the first set; None: none are."""
    defences: dict[str, Any] = {}
    """Settings of `aseptic.studies.matrix.settings.Matrix` but for the network and the triggers."""
    phantoms: int = 120
    """Images of each phantom at scale ``smoke``."""
    batch: int = 64
    """Images of a batch of the released evaluation, which drops what does not fill one (trap 4g-2)."""


def trigger_of(name: str, arm: Arm) -> dict[str, Any]:
    """Return a trigger with its settings: FIBA as published, or a rival."""
    return {**RIVALS.get(name, {"name": name}), **arm.options.get(name, {})}


def label_of(arm: Arm, data: ImageSet) -> dict[str, Any]:
    """Return the label rule, its target one of the classes.

    Raises:
        InputError: A class of the rule is none of the set's.
    """
    label = dict(arm.label)
    if label.get("target", "") is None:
        label["target"] = next((name for name in TARGETS if name in data.classes), data.classes[0])
    for key in ("source", "target"):
        if label.get(key) is not None and label[key] not in data.classes:
            raise InputError(f"{key} must be one of {', '.join(data.classes)} in {data.name}; got {label[key]!r}")
    return label


def plan_for(made: Settings, where: str, called: str, data: ImageSet, **varied: Any) -> PoisonPlan:  # noqa: ANN401
    """Return how a set of the run is poisoned with a trigger."""
    return poisoned(made.arms[where], called, data, made.seed, **varied)


def poisoned(arm: Arm, called: str, data: ImageSet, seed: int, **varied: Any) -> PoisonPlan:  # noqa: ANN401
    """Return how an arm's set is poisoned with a trigger, by its name here."""
    rate = COVERS.get(called, 0.0)
    if rate and arm.cover is not None:
        rate = arm.cover
    return make_plan(
        **{
            "trigger": trigger_of(called, arm),
            "insert": "network",
            "label": label_of(arm, data),
            "select": {"rate": arm.rate},
            "cover": {"rate": rate},
            "loop": arm.loop,
            "mode": arm.mode,
            "seed": seed,
            **varied,
        }
    )


def open_data(scale: Scale, made: Settings, paths: Mapping[str, str]) -> dict[str, ImageSet]:
    """Open the sets of a scale, by the names of their arms.

    Raises:
        InputError: A set cannot be read, or lacks a class that a label rule names.
    """
    if scale == "smoke":
        sizes = {where: max(arm.recipe.space) for where, arm in made.arms.items()}
        phantoms = {SKIN: "derm", "organs": "kidney", "objects": "endoscopy"}
        found = {
            where: load_data(f"phantom:{name}?n={made.phantoms}&size={sizes[where]}&seed={made.seed}")
            for where, name in phantoms.items()
        }
    else:
        known = {"organs": PARTS, "lungs": LUNGS} if scale == "desk" else {}
        tasks = {SKIN: "multiclass", "tissue": "multiclass", "objects": "detection"}
        found = {
            where: _open(paths[where], tasks.get(where, "segmentation"), known.get(where), made.seed)
            for where in made.arms
        }
    for where, arm in made.arms.items():
        label_of(arm, found[where])
    return found


def _open(path: str, task: str, classes: tuple[str, ...] | None, seed: int) -> ImageSet:
    """Return a set with its splits; images of a segmentation that have no mask are left out."""
    data = open_splits(path, task=task, classes=classes, seed=seed)
    if task != "segmentation":
        return data
    kept = data.select(i for i, item in enumerate(data.items) if item.mask is not None)
    left = len(data) - len(kept)
    return kept if not left else replace(kept, notes=(*kept.notes, f"{left} images without a mask are left out"))
