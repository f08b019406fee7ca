"""Many budgets in one call, and AutoAttack, against other toolboxes: on a weak and on an adversarially trained network.

Usage: python benchmarks/bench_evasion.py [--images 128] [--rounds 2]. Writes benchmarks/results/evasion.json. Minutes
on two cores.
"""

import argparse
import json
import platform
import sys
import warnings
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from bench_pgd import Attack, batches, pictures, timed, version
from torch import Tensor
from torch.nn import functional as F

from aseptic.attacks import PGD, AutoAttack, Threat, curve, run
from aseptic.core.rng import stream
from aseptic.models.guard import untouched
from aseptic.models.smallcnn import SmallCNN
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

OUT = Path(__file__).parent / "results" / "evasion.json"
SIZE, CLASSES, BATCH, STEPS, EPOCHS = 32, 5, 128, 40, 6
RADII = [level / 255 for level in (0.5, 1, 2, 4, 8)]
QUERIES = 1000
"""Questions of Square, for every toolbox."""


def trained(device: str, *, robust: bool) -> Subject:
    """Return a small network trained for some seconds, on the images or on what PGD makes of them."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        module = SmallCNN(outputs=CLASSES, channels=3)
    model = Subject(module.to(device), task="multiclass", classes=list("abcde"), mean=0.5, std=0.25)
    images, labels = pictures(2048, "train", CLASSES, SIZE)
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    attack, threat = PGD(steps=4, stop=False), Threat(Avoid(), Ball("linf", 4 / 255))
    for epoch in range(EPOCHS):
        for rows in torch.randperm(len(images), generator=stream(0, "rows", epoch)).split(BATCH):
            batch, truth = images[rows].to(device), labels[rows].to(device)
            if robust:
                batch = run(attack, model.eval(), batch, truth, threat, seed=epoch).images
            loss = F.cross_entropy(model.train()(batch), truth)
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    return model.eval()


def curves(model: Subject, images: Tensor, labels: Tensor, device: str, passes: dict[str, int]) -> dict[str, Attack]:
    """Return PGD at every radius, one after the other, stacked: ours in one call, the peers as they offer it.

    ``passes`` is filled with the backward passes of ours, in images.
    """
    attack = PGD(steps=STEPS, step=0.25, random_start=False)

    def ours(name: str, *, nested: bool) -> Attack:
        def whole() -> Tensor:
            found = curve(attack, model, images, labels, Avoid(), "linf", RADII, batch_size=BATCH, nested=nested)
            passes[name] = sum(one.cost.backwards for one in found)
            return torch.stack([one.images for one in found])

        return whole

    runs = {name: ours(name, nested=nested) for name, nested in (("aseptic", True), ("aseptic, strict", False))}
    if version("torchattacks"):
        import torchattacks  # noqa: PLC0415 - an optional peer

        each = [torchattacks.PGD(model, eps=r, alpha=0.25 * r, steps=STEPS, random_start=False) for r in RADII]
        whole = [batches(one, images, labels, device, BATCH) for one in each]
        runs["torchattacks"] = lambda: torch.stack([one() for one in whole])
    if version("foolbox"):
        import foolbox  # noqa: PLC0415 - an optional peer

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
        linf = foolbox.attacks.LinfPGD(rel_stepsize=0.25, steps=STEPS, random_start=False)

        def theirs() -> Tensor:
            parts = zip(images.split(BATCH), labels.split(BATCH), strict=True)
            found = [torch.stack(linf(wrapped, x.to(device), y.to(device), epsilons=RADII)[1]) for x, y in parts]
            return torch.cat(found, 1).cpu()

        runs["foolbox"] = theirs
    return runs


def ensembles(  # noqa: PLR0913, PLR0917 - what is attacked, and where the passes are entered
    model: Subject, images: Tensor, labels: Tensor, device: str, radius: float, passes: dict[str, int]
) -> dict[str, Attack]:
    """Return AutoAttack (CE, T, FAB, Square) of each toolbox that has it, with 100 steps each."""
    threat = Threat(Avoid(), Ball("linf", radius))
    attack = AutoAttack(queries=QUERIES)

    def ours() -> Tensor:
        found = run(attack, model, images, labels, threat, batch_size=BATCH)
        passes.update(forwards=found.cost.forwards, backwards=found.cost.backwards)
        return found.images

    runs: dict[str, Attack] = {"aseptic": ours}
    if version("torchattacks"):
        import torchattacks as ta  # noqa: PLC0415 - an optional peer

        shared: dict[str, Any] = {"eps": radius, "norm": "Linf", "seed": 0}
        stages = [
            ta.APGD(model, steps=100, loss="ce", **shared),
            ta.APGDT(model, steps=100, n_classes=CLASSES, **shared),
            ta.FAB(model, steps=100, n_classes=CLASSES, multi_targeted=True, **shared),
            ta.Square(model, n_queries=QUERIES, **shared),
        ]
        runs["torchattacks"] = batches(ta.MultiAttack(stages), images, labels, device, BATCH)
    return runs


def bare(model: Subject, images: Tensor, device: str, passes: dict[str, int]) -> float:
    """Return the seconds of so many passes alone, on batches of as many images as stand in the end."""
    images = images.to(device)

    def forward() -> Tensor:
        with torch.no_grad():
            return model(images)

    def both() -> Tensor:
        leaf = images.detach().requires_grad_()
        return torch.autograd.grad(model(leaf).sum(), leaf)[0]

    with untouched(model):
        best, _ = timed({"forward": forward, "both": both}, 20, device)
    alone = passes["forwards"] - passes["backwards"]
    return (passes["backwards"] * best["both"] + alone * best["forward"]) / len(images)


def compared(  # noqa: PLR0913, PLR0917 - what runs, on what, how often
    model: Subject, runs: dict[str, Attack], labels: Tensor, radii: list[float], images: Tensor, rounds: int
) -> dict:
    """Return seconds, robust accuracy and agreement with ours, and whether anything left its budget."""
    device = next(model.parameters()).device
    best, found = timed(runs, rounds, device.type)
    stacks = {name: x if x.ndim == images.ndim + 1 else x[None] for name, x in found.items()}
    with torch.no_grad():
        right = {
            name: torch.stack([model(one.to(device)).argmax(1).cpu() == labels for one in stack])
            for name, stack in stacks.items()
        }
    return {
        name: {
            "seconds": best[name],
            "times_ours": best[name] / best["aseptic"],
            "robust_accuracy": right[name].float().mean(1).tolist(),
            "same_verdict": (right[name] == right["aseptic"]).float().mean().item(),
            "ours_alone": int((right[name] & ~right["aseptic"]).sum()),
            "theirs_alone": int((~right[name] & right["aseptic"]).sum()),
            "within_budget": all(
                bool((stack[i] - images).abs().amax() <= radius * (1 + 1e-4)) for i, radius in enumerate(radii)
            ),
        }
        for name, stack in stacks.items()
    }


def main() -> int:
    """Train, measure, print, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")  # the peers' own
    device = "cuda" if torch.cuda.is_available() else "cpu"
    images, labels = pictures(asked.images, "test", CLASSES, SIZE)
    rows: dict[str, Any] = {}
    few = slice(0, asked.images // 2)  # for AutoAttack, which takes fifty times as long
    for kind in ("weak", "robust"):
        model = trained(device, robust=kind == "robust")
        with torch.no_grad():
            right = model(images.to(device)).argmax(1).cpu() == labels
        radius = RADII[2] if kind == "weak" else RADII[3]
        climbed: dict[str, int] = {}
        asked_for: dict[str, int] = {}
        whole = compared(model, curves(model, images, labels, device, climbed), labels, RADII, images, asked.rounds)
        ensemble = compared(
            model,
            ensembles(model, images[few], labels[few], device, radius, asked_for),
            labels[few],
            [radius],
            images[few],
            asked.rounds,
        )
        stands = sum(whole["aseptic, strict"]["robust_accuracy"]) * len(images)
        left = round(ensemble["aseptic"]["robust_accuracy"][0] * len(images[few]))
        rows[kind] = {
            "clean_accuracy": right.float().mean().item(),
            "radius": radius,
            "curve": whole,
            "curve_backward_passes": {
                **climbed,
                "a cold start within each radius that is withstood": round(STEPS * stands),
                "peers": STEPS * len(RADII) * len(images),
            },
            "autoattack": ensemble,
            "autoattack_passes": {
                **asked_for,
                "bare_seconds": bare(model, images[right][: max(left, 1)], device, asked_for),
            },
        }
        print(kind, json.dumps(rows[kind], indent=1), flush=True)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} cpu",
        "threads": torch.get_num_threads(),
        "versions": {name: version(name) or "not installed" for name in ("torch", "torchattacks", "foolbox")},
        "settings": {
            "model": f"aseptic:smallcnn, {SIZE} px, {CLASSES} classes",
            "images": asked.images,
            "images_autoattack": asked.images // 2,
            "steps": STEPS,
            "radii": RADII,
            "queries": QUERIES,
        },
        "networks": rows,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(record, indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
