"""Neural Cleanse with all outputs in one batch, against the same optimisation one output after the other.

Both do the same work for each output: the same images in the same order, the same weights, the same ending, to the same
triggers. What differs is that one asks the network about all outputs at once. A third run is the plain loop that other
toolboxes have: torch's Adam, one output after the other, every round of the whole budget, nothing ends early.

Usage: python benchmarks/bench_scanners.py [--rounds 2]. Writes benchmarks/results/scanners.json. Minutes on two cores.
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from bench_pgd import pictures, timed
from torch import Tensor
from torch.nn import functional as F

from aseptic.attacks.base import Counted
from aseptic.core.rng import stream
from aseptic.models.archs import build
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.scanners import NeuralCleanse
from aseptic.scanners.inversion import Race

OUT = Path(__file__).parent / "results" / "scanners.json"
CLASSES, SIZE, IMAGES = 10, 32, 32
NETWORKS = ("aseptic:smallcnn?width=8", "torchvision:resnet18")
METHOD = NeuralCleanse(images=16, batch=4, rounds=40, patience=3, still=10)
"""Small steps, as a model of many outputs asks for; settings are those of all runs."""


def trained(arch: str, device: str) -> Subject:
    """Return a network trained for some seconds on pictures of faint stripes, at one of ten angles."""
    module = build(arch, outputs=CLASSES, channels=3, size=SIZE)
    model = Subject(module.to(device), task="multiclass", classes=[str(k) for k in range(CLASSES)], mean=0.5, std=0.25)
    images, labels = pictures(1024, "train", CLASSES, SIZE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for step in range(60):
        rows = torch.randint(0, len(images), (64,), generator=stream(0, "rows", step))
        loss = F.cross_entropy(model(images[rows].to(device)), labels[rows].to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def races(model: Subject, images: Tensor, groups: list[list[int]]) -> Tensor:
    """Return the size of each output's trigger, the outputs of a group searched together."""
    found = torch.full((CLASSES,), torch.nan)
    with torch.no_grad():
        decisions = model.task.decide(model(images))
        for outputs in groups:
            rows = [(decisions != output).nonzero()[:, 0] for output in outputs]
            race = Race(METHOD, Counted(model), images, rows, outputs, 0)
            race.run(lambda _: None)
            found[outputs] = race.sizes.cpu()
    return found


def plain(model: Subject, images: Tensor) -> Tensor:
    """Return the same by a plain loop, with the published rules for one output at a time."""
    with torch.no_grad():
        decisions = model.task.decide(model(images))
    found = [_plain(model, images[decisions != output], output) for output in range(CLASSES)]
    return torch.tensor(found)


def _plain(model: Subject, images: Tensor, output: int) -> float:
    rng = stream(0, "plain", output)
    shape = tuple(images.shape[1:])
    begun = METHOD.begin(shape, rng)
    mask, pattern = (one.to(images)[None].requires_grad_() for one in begun)
    optimiser = torch.optim.Adam([mask, pattern], lr=METHOD.step, betas=(0.5, 0.9))
    weight, best, above, below = 0.0, float("inf"), 0, 0
    for _ in range(METHOD.rounds):
        hits = 0
        order = torch.randperm(len(images), generator=rng)[: METHOD.images]
        for rows in order.split(METHOD.batch):
            logits = model(METHOD.stamp((mask, pattern), images[rows.to(images.device)][None])[0])
            wanted = torch.full_like(logits[:, 0], output, dtype=torch.long)
            loss = F.cross_entropy(logits, wanted) + weight * METHOD.size((mask, pattern)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            hits += int((logits.argmax(1) == wanted).sum())
        reached, size = hits >= METHOD.threshold * len(order), METHOD.size((mask, pattern)).item()
        best = min(best, size) if reached else best
        above, below = (above + 1, 0) if reached else (0, below + 1)
        if above == METHOD.patience:
            above, weight = 0, weight * METHOD.factor or float(METHOD.first_weight)
        if below == METHOD.patience:
            below, weight = 0, weight / METHOD.factor**1.5
    return best


def measure(arch: str, rounds: int, device: str) -> dict[str, Any]:
    """Return the least seconds of each way, and how far their triggers' sizes are apart."""
    model = trained(arch, device)
    images, labels = pictures(IMAGES, "test", CLASSES, SIZE)
    images = images.to(device)
    runs: dict[str, Callable[[], Tensor]] = {
        "one batch": lambda: races(model, images, [list(range(CLASSES))]),
        "one by one": lambda: races(model, images, [[output] for output in range(CLASSES)]),
        "plain loop": lambda: plain(model, images),
    }
    with untouched(model):
        best, found = timed(runs, rounds, device)
        with torch.no_grad():
            accuracy = (model(images).argmax(1).cpu() == labels).float().mean().item()
    sizes = {name: [round(one, 4) for one in values.tolist()] for name, values in found.items()}
    return {
        "accuracy": accuracy,
        "seconds": best,
        "times_ours": {name: seconds / best["one batch"] for name, seconds in best.items()},
        "sizes": sizes,
    }


def main() -> int:
    """Measure, print a table, write the numbers."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    rows = {arch: measure(arch, asked.rounds, device) for arch in NETWORKS}
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} cpu",
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "settings": {**METHOD.describe(), "classes": CLASSES, "side": SIZE, "clean images": IMAGES},
        "networks": rows,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(record, indent=2) + "\n", "utf-8")
    for arch, row in rows.items():
        print(f"{arch}, accuracy {row['accuracy']:.2f}")
        for name, ratio in row["times_ours"].items():
            print(f"  {name:<12}{row['seconds'][name]:8.2f} s{ratio:8.2f} x  {row['sizes'][name]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
