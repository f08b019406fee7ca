"""One perturbation, or one sticker, for all images: learned from few chest X-rays, of the same source and of another.

    python benchmarks/real_universal.py DATA [--device cuda]

DATA holds `cxr_kermany`, `cxr_tb_lungs` and `weights`. The ready MobileNetV3 is attacked. What is learned is compared
with signs, or pixels, drawn at random. Takes about a quarter of an hour on two cores.
"""

import argparse
import json
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import aseptic
from aseptic.attacks import EvasionAttack, Sticker, Threat, Universal, run, train_sticker, train_universal
from aseptic.core.rng import stream
from aseptic.metrics.decisions import proportion
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.ops.windows import Window
from aseptic.studies.predict import predict
from aseptic.tasks.base import Goal
from aseptic.tasks.multiclass import Avoid, Reach

RESULTS = Path(__file__).parent / "results" / "universal.json"
LEARNED, TESTED, SIDE, SEED = 100, 200, 224, 0
IMAGENET = {"mean": [0.485, 0.456, 0.406], "std": [0.229, 0.224, 0.225]}
SOURCES = {"same source": ("cxr_kermany", "train"), "another source": ("cxr_tb_lungs", "train")}
GOALS: dict[str, Goal] = {"wrong": Avoid(), "normal": Reach(name="normal")}
LEVELS = (4,)
SHARES = (0.05,)
RESTARTS = 2


@dataclass(frozen=True)
class Case:
    """Something to be learned, and the same at random."""

    kind: str
    size: str
    threat: Threat
    learn: Callable[..., EvasionAttack]
    at_random: EvasionAttack


def cases(goal: Goal) -> list[Case]:
    """Return what is learned for one goal."""
    found = []
    for level in LEVELS:
        signs = torch.randn((1, SIDE, SIDE), generator=stream(SEED, "signs")).sign()
        noise = Universal(perturbation=signs * level / 255)
        threat = Threat(goal, Ball("linf", level / 255))
        found.append(Case("perturbation", f"{level} grey levels", threat, train_universal, noise))
    for share in SHARES:
        window = Window(share)
        pixels = torch.rand((1, *window.sides((SIDE, SIDE))), generator=stream(SEED, "pixels"))
        threat = Threat(goal, window)
        found.append(Case("sticker", f"{100 * share:g} % of the image", threat, train_sticker, Sticker(patch=pixels)))
    return found


def images_of(data: Path, name: str, split: str, count: int) -> Tensor:
    """Return images drawn by the seed."""
    known = aseptic.load_data(data / name, split=split)
    order = torch.randperm(len(known), generator=stream(SEED, name, split))[:count]
    return known.select(sorted(order.tolist())).fit((SIDE, SIDE), 1).images


def reached(attack: EvasionAttack, model: Subject, images: Tensor, decided: Tensor, threat: Threat) -> dict[str, Any]:
    """Return how many of the images that the goal applies to are brought to it."""
    result = run(attack, model, images, decided, threat, seed=SEED)
    found = proportion(int(result.success.sum()), int(result.eligible.sum()))
    return {"value": found.value, "ci_low": found.low, "ci_high": found.high, "n": found.n}


def main() -> None:
    """Learn, compare, and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--device", default="cpu")
    arguments = parser.parse_args()
    data, device = arguments.data, arguments.device
    classes = ["normal", "pneumonia"]
    weights = data / "weights" / "mobilenet_v3_small_kermany_pneumonia.pth"
    facts = {"arch": "torchvision:mobilenet_v3_small", "task": "multiclass", "size": SIDE, **IMAGENET}
    model = aseptic.load_model(weights, classes=classes, **facts).to(device)
    images = images_of(data, "cxr_kermany", "test", TESTED).to(device)
    decided = model.task.decide(predict(model, images, 32))
    rows: list[dict[str, Any]] = []
    for goal_name, goal in GOALS.items():
        for case in cases(goal):
            noise = reached(case.at_random, model, images, decided, case.threat)
            for source, place in SOURCES.items():
                few = images_of(data, *place, LEARNED).to(device)
                begun = time.perf_counter()
                attack = case.learn(
                    model, few, model.task.decide(predict(model, few, 32)), case.threat, restarts=RESTARTS, seed=SEED
                )
                row = {"goal": goal_name, "kind": case.kind, "size": case.size, "source": source, "random": noise}
                row |= {"seconds": time.perf_counter() - begun}
                row["learned"] = reached(attack, model, images, decided, case.threat)
                rows.append(row)
                print(json.dumps(row), flush=True)
    shown = {"machine": platform.machine(), "device": device, "learned_from": LEARNED, "side": SIDE, "rows": rows}
    RESULTS.write_text(json.dumps(shown, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
