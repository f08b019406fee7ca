"""A matrix that two cores train in seconds: bars in one of three places, two triggers, a defence of every kind."""

import torch

from aseptic.core.rng import stream
from aseptic.data.memory import memory_set
from aseptic.studies.backdoors.recipe import Recipe
from aseptic.studies.matrix.settings import Matrix

CLASSES = ("left", "middle", "right")
SIDE = 16
SPLITS = ["train"] * 60 + ["val"] * 45 + ["test"] * 30
STEADY = {"epochs": 3, "batch_size": 12, "lr": 5e-3, "keep": "last", "patience": None, "flip": False, "shift": 0.0}
TINY = Recipe(arch="aseptic:smallcnn?width=4", size=SIDE, training={**STEADY, "seed": 0})
PATCH = {
    "trigger": {"name": "patch", "size": 4, "value": 1.0, "place": "lower-right"},
    "label": {"rule": "to", "target": "right"},
    "select": {"rate": 0.3},
}
FIBA = {
    "trigger": {"name": "blend", "ratio": 0.3},
    "label": {"rule": "to", "target": "left"},
    "select": {"rate": 0.3},
    "loop": "batch",
}


def data():
    """Return bars in one of three places, three splits."""
    labels = [i % 3 for i in range(len(SPLITS))]
    images = 0.3 + 0.2 * torch.rand(len(labels), 1, SIDE, SIDE, generator=stream(0, "bars"))
    for image, label in zip(images, labels, strict=True):
        image[0, :, 2 + 5 * label : 4 + 5 * label] += 0.3
    patients = [f"p{i // 2}-{split}" for i, split in enumerate(SPLITS)]
    return memory_set(
        "tiny", images, torch.tensor(labels), classes=CLASSES, task="multiclass", splits=SPLITS, patients=patients
    )


def matrix(**settings):
    """Return a small matrix with settings of one's own."""
    given = {
        "recipe": TINY,
        "triggers": {"patch": PATCH, "blend": FIBA},
        "seeds": (0, 1),
        "scanners": {"mm-bd": {"starts": 2, "steps": 4}},
        "sets": {"spectral-signatures": {}, "spectrum": {}},
        "detectors": {"strip": {"overlays": 4}},
        "cures": {"tuned": {"name": "fine-tuning", "epochs": 1}},
        "clean": 40,
        "images": 12,
        "scanned": 6,
        "draws": 4,
        "twins": 4,
        "rate": 0.2,
        **settings,
    }
    return Matrix(**given)
