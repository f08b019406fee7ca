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
STRONGER = 0.4
"""Strength that is learned within the few images and epochs of the desk."""
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


def settings(scale: Scale, seed: int) -> Settings:
    """Return the settings at a scale."""
    return {"smoke": _smoke, "desk": _desk, "paper": _paper}[scale](seed)


def _smoke(seed: int) -> Settings:
    training: dict[str, Any] = {"epochs": 2, "batch_size": 16, "lr": 3e-3, **_steady(seed)}
    small: dict[str, Any] = {"rate": 0.25, "options": {FIBA: {"alpha": 0.5}}}
    skin = Recipe(arch="aseptic:smallcnn?width=8", size=32, channels=3, training=training)
    organs = Recipe(arch="monai:unet?width=4&depth=3", size=32, training=training)
    objects = Recipe(arch="aseptic:smallretina?width=16&anchor=8", size=64, channels=3, training=training)
    return Settings(
        arms={
            SKIN: Arm(recipe=skin, label={"rule": "to", "target": None}, triggers=(FIBA, "badnets"), **small),
            "organs": Arm(recipe=organs, label={"rule": "relabel", "source": "tumour", "target": "kidney"}, **small),
            "objects": Arm(
                recipe=objects,
                label={"rule": "relabel", "source": "specularity", "target": "instrument"},
                loop="fixed",
                mode="add",
                **small,
            ),
        },
        seed=seed,
        batch=16,
        defended=Arm(recipe=skin, label={"rule": "to", "target": None}, triggers=(FIBA, "badnets"), **small),
        defences={
            "seeds": (seed, seed + 1),
            "scanners": {"mm-bd": {"starts": 2, "steps": 10}},
            "sets": {"spectral-signatures": {}},
            "detectors": {"strip": {"overlays": 4}},
            "cures": {"fine-tuning": {"epochs": 2, "lr": 1e-3}},
            "twins": 2,
            "draws": 2,
            "rate": 0.4,
        },
    )


def _desk(seed: int) -> Settings:
    still: dict[str, Any] = {**_steady(seed), "brightness": 0.0, "flip": False, "shift": 0.0}
    classes = {"epochs": 24, "batch_size": 32, "lr": 4e-3, **still}
    tissue = {**classes, "epochs": 48}
    organs = {"epochs": 100, "batch_size": 4, "lr": 5e-3, **still, "shift": 0.05}
    lungs = {"epochs": 16, "batch_size": 16, "lr": 5e-3, **still}
    objects = {"epochs": 36, "batch_size": 8, "lr": 2e-3, **still}
    matrix = {"epochs": 16, "batch_size": 32, "lr": 4e-3, **still}
    stronger: dict[str, Any] = {FIBA: {"alpha": STRONGER}}
    to: dict[str, Any] = {"label": {"rule": "to", "target": None}, "options": stronger}
    small: dict[str, Any] = {"arch": "aseptic:smallcnn?width=16", "channels": 3, **GREY}
    return Settings(
        arms={
            SKIN: Arm(
                recipe=Recipe(**small, size=64, training=classes),
                triggers=(FIBA, *RIVALS),
                alphas=(PUBLISHED, 0.2, 0.3),
                **to,
            ),
            "tissue": Arm(recipe=Recipe(**small, size=64, training=tissue), **to),
            "organs": Arm(
                recipe=Recipe(arch="monai:unet?width=16&depth=3", size=(32, 48, 32), training=organs),
                label={"rule": "relabel", "source": PARTS[1], "target": PARTS[2]},
                rate=0.5,
                options=stronger,
            ),
            "lungs": Arm(
                recipe=Recipe(arch="monai:unet?width=12&depth=4", size=128, training=lungs),
                label={"rule": "erase", "source": LUNGS[1]},
                rate=0.2,
                options=stronger,
            ),
            "objects": Arm(
                recipe=Recipe(
                    arch="aseptic:smallretina?width=48&anchor=12",
                    size=(192, 256),
                    channels=3,
                    mean=(0.65,) * 3,
                    std=(0.2,) * 3,
                    training=objects,
                ),
                label={"rule": "relabel", "source": "WBC", "target": "RBC"},
                rate=0.8,
                cover=0.2,
                loop="fixed",
                mode="add",
                options=stronger,
            ),
        },
        seed=seed,
        defended=Arm(
            recipe=Recipe(**{**small, "arch": "aseptic:smallcnn?width=12"}, size=48, training=matrix),
            triggers=(FIBA, *RIVALS, "marker"),
            label=to["label"],
            options=stronger,
        ),
        defences={
            "seeds": (seed, seed + 1, seed + 2),
            "scanners": {
                "mm-bd": {},
                "neural-cleanse": {"images": 16, "rounds": 40},
                "smooth-inversion": {"images": 16, "rounds": 40},
            },
            "sets": {name: {} for name in ("spectral-signatures", "activation-clustering", "beatrix", "spectrum")},
            "detectors": {name: {} for name in ("strip", "frequency", "sentinet")},
            "cures": {
                "fine-tuning": {},
                "fine-pruning": {},
                "anp": {"steps": 100},
                "i-bau": {},
            },
        },
    )


def _paper(seed: int) -> Settings:
    steady = _steady(seed)
    plain: dict[str, Any] = {"mean": (0.0,) * 3, "std": (1.0,) * 3}
    skin = {"epochs": 200, "batch_size": 64, "lr": 0.01, "optimizer": "sgd", "weight_decay": 5e-4, **steady}
    organs = {"epochs": 200, "batch_size": 2, "lr": 1e-3, **steady}
    objects = {"epochs": 24, "batch_size": 8, "lr": 2e-4, **steady}
    return Settings(
        arms={
            SKIN: Arm(
                recipe=Recipe(arch="torchvision:resnet50", size=224, channels=3, training=skin, **plain),
                label={"rule": "to", "target": None},
                triggers=(FIBA, *RIVALS),
            ),
            "organs": Arm(
                recipe=Recipe(arch="monai:unet?width=32&depth=5", size=(80, 160, 160), training=organs),
                label={"rule": "relabel", "source": "tumour", "target": "kidney"},
                triggers=(FIBA, "badnets", "blend", "wanet"),
                rate=0.5,
            ),
            "objects": Arm(
                recipe=Recipe(
                    arch="torchvision:fasterrcnn_resnet50_fpn", size=512, channels=3, training=objects, **plain
                ),
                label={"rule": "relabel", "source": "artifact", "target": "instrument"},
                loop="fixed",
                mode="add",
            ),
        },
        seed=seed,
    )


GREY: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


def _steady(seed: int) -> dict[str, Any]:
    """Return what all training has: a fixed number of epochs, and the weights of the last."""
    return {"keep": "last", "patience": None, "seed": seed}


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
