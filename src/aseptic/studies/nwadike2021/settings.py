"""What the study of Nwadike et al. (2021) runs at each scale."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.poisoning.plan import PoisonPlan, make_plan
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.frame.scales import Scale
from aseptic.studies.train import open_splits

FINDINGS = (
    "Atelectasis", "Cardiomegaly", "Effusion", "Infiltration", "Mass", "Nodule", "Pneumonia", "Pneumothorax",
    "Consolidation", "Edema", "Emphysema", "Fibrosis", "Pleural_Thickening", "Hernia",
)  # fmt: skip
"""The paper's outputs, in its order; the first is the attacker's target."""
SIDES = (1, 2, 3, 4, 5, 6)
RATES = (0.01, 0.05, 0.1, 0.2, 0.4, 0.8, 1.0)
SHARES = (0.01, 0.1, 0.5, 0.8, 1.0)
"""Shares of triggered images in mixed test sets (the paper's "epsilon")."""
Regime = Literal["replace", "add"]


class Settings(BaseModel):
    """One run."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    recipe: Recipe
    """Network and training."""
    varied: Recipe | None = None
    """Network and training for what is varied (sides, rates, other triggers), where the paper's own takes too long; it
    then has a clean twin and an unvaried network of its own."""
    sides: tuple[int, ...] = SIDES
    """Sides of the trigger, in stored pixels, at ``rate``."""
    rates: tuple[float, ...] = RATES
    """Poison rates with the trigger of ``side``."""
    regimes: tuple[Regime, ...] = ("replace", "add")
    """Whether triggered copies take the place of their originals, or are appended."""
    side: int = 3
    """Side of the trigger wherever it is not varied."""
    rate: float = 0.1
    """Rate wherever it is not varied."""
    explained: int = 64
    """Test images that are explained, with and without the trigger."""
    explainers: tuple[str, ...] = ("gradcam", "gradcam-skipping", "gradcampp", "saliency", "integrated-gradients")
    """Explainers by name."""
    placeless: tuple[str, ...] = ("blend", "sig", "wanet")
    """Triggers without a place that the finder is tried on."""
    variants: bool = True
    """Whether the loss and the draw of the released code are trained too."""


def settings(scale: Scale, seed: int) -> Settings:
    """Return the settings at a scale."""
    if scale == "smoke":
        training = {"epochs": 2, "batch_size": 16, "lr": 1e-3, "keep": "last", "patience": None, "seed": seed}
        return Settings(
            recipe=Recipe(arch="torchvision:densenet121", size=64, training=training),
            sides=(3,),
            rates=(0.5,),
            rate=0.5,
            explained=8,
            explainers=("gradcam", "gradcam-skipping", "integrated-gradients"),
            placeless=(),
        )
    if scale == "desk":
        training = {"epochs": 8, "lr": 1e-3, "keep": "last", "patience": None, "seed": seed}
        return Settings(
            recipe=Recipe(arch="torchvision:densenet121", size=64, training=training),
            varied=Recipe(arch="torchvision:resnet18", size=64, training=training),
            sides=(1, 2, 3, 4, 6),
            rates=(0.01, 0.05, 0.1, 0.2, 0.4, 0.8),
            explained=120,
        )
    training = {"epochs": 15, "lr": 1e-3, "optimizer": "adamw", "class_weights": "balanced", "seed": seed}
    imagenet: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    recipe = Recipe(
        arch="torchvision:densenet121",
        size=224,
        channels=3,
        share=0.6,
        sampling="nearest",
        training=training,
        **imagenet,
    )
    return Settings(recipe=recipe)


def open_data(scale: Scale, made: Settings, paths: Mapping[str, str]) -> dict[str, ImageSet]:
    """Open the sets of a scale: ``real``, and the phantom beside it.

    Raises:
        InputError: The set does not have the paper's findings.
    """
    if scale == "smoke":
        return {"phantom": load_data(f"phantom:cxr?n=100&size={made.recipe.size}&seed={made.recipe.config().seed}")}
    data = open_splits(paths["nih14"], task="multilabel", classes=FINDINGS, seed=made.recipe.config().seed)
    found = {"real": data}
    if scale == "desk":
        found["phantom"] = load_data(f"phantom:cxr?n=600&size={made.recipe.size}&seed={made.recipe.config().seed}")
    return found


def plan_for(data: ImageSet, made: Settings, **varied: Any) -> PoisonPlan:  # noqa: ANN401 - settings of a plan
    """Return the paper's plan: a black square at the centre, all findings erased, the first one set."""
    side, rate = varied.pop("side", made.side), varied.pop("rate", made.rate)
    return make_plan(
        **{
            "trigger": {"name": "patch", "size": side, "value": 0.0, "place": "centre"},
            "label": {"rule": "overwrite", "target": data.classes[0]},
            "select": {"rate": rate, "draw": varied.pop("draw", "random")},
            "splits": ["train", "val"],
            "seed": made.recipe.config().seed,
            **varied,
        }
    )
