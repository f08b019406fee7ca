"""What the study of Feng et al. (2022) trains at each scale."""

from typing import Any

from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.fiba2022.settings import FIBA, LUNGS, PARTS, PUBLISHED, RIVALS, SKIN, Arm, Settings
from aseptic.studies.frame.scales import Scale

STRONGER = 0.4
"""Strength that is learned within the few images and epochs of the desk."""
GREY: dict[str, Any] = {"mean": (0.5,) * 3, "std": (0.25,) * 3}


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
    tissue = {**classes, "epochs": 80}
    organs = {"epochs": 110, "batch_size": 5, "lr": 5e-3, **still, "shift": 0.05}
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
                rate=0.4,
                cover=0.2,
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
            "twins": 20,
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


def _steady(seed: int) -> dict[str, Any]:
    """Return what all training has: a fixed number of epochs, and the weights of the last."""
    return {"keep": "last", "patience": None, "seed": seed}
