"""PGD against its floor and against other toolboxes, on one trained model, in one run.

The floor is what the method cannot do without: one forward and one backward pass a step, with respect to the images
only, on a frozen model. Ratios are the result; seconds hold for the machine that is named beside them.

Usage: python benchmarks/bench_pgd.py [--images 64] [--rounds 2]. Writes benchmarks/results/pgd.json.
"""

import argparse
import json
import platform
import sys
import time
import warnings
from collections.abc import Callable
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

import numpy as np
import torch
import torchvision
from torch import Tensor, nn
from torch.nn import functional as F

from aseptic.attacks import APGDCE, PGD, EvasionAttack, Threat, run
from aseptic.attacks.base import Batch, Counted
from aseptic.core.rng import stream
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.ops.balls import Ball
from aseptic.tasks.multiclass import Avoid

OUT = Path(__file__).parent / "results" / "pgd.json"
SIZE, CLASSES, BATCH, STEPS = 48, 3, 32, 20
RADIUS, STEP = 4 / 255, 0.25
THREAT = Threat(Avoid(), Ball("linf", RADIUS))
Attack = Callable[[], Tensor]


def pictures(number: int, name: str, classes: int = CLASSES, size: int = SIZE) -> tuple[Tensor, Tensor]:
    """Return noisy pictures with one of several faint stripe patterns, and which."""
    rng = stream(0, "bench", name)
    labels = torch.randint(0, classes, (number,), generator=rng)
    axis = torch.linspace(0, 1, size)
    angles = labels[:, None, None] * torch.pi / classes
    waves = torch.sin(40 * (axis[:, None] * angles.cos() + axis[None, :] * angles.sin()))
    strength = 0.02 + 0.10 * torch.rand((number, 1, 1), generator=rng)
    noise = 0.15 * torch.randn((number, 3, size, size), generator=rng)
    return (0.5 + (strength * waves)[:, None] + noise).clamp(0, 1), labels


def trained(device: str) -> Subject:
    """Return a ResNet-18 trained for some seconds, so that some images fall at once, some late and some never."""
    with torch.random.fork_rng():
        torch.random.default_generator.manual_seed(0)
        module = torchvision.models.resnet18(num_classes=CLASSES)
    model = Subject(module.to(device), task="multiclass", classes=["a", "b", "c"], mean=0.5, std=0.25)
    images, labels = pictures(1024, "train")
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    model.train()
    for step in range(40):
        rows = torch.randint(0, len(images), (BATCH,), generator=stream(0, "rows", step))
        batch = images[rows] + 0.02 * torch.randn((BATCH, 3, SIZE, SIZE), generator=stream(0, "noise", step))
        loss = F.cross_entropy(model(batch.clamp(0, 1).to(device)), labels[rows].to(device))
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def timed(runs: dict[str, Attack], rounds: int, device: str) -> tuple[dict[str, float], dict[str, Tensor]]:
    """Return the least time of each run, in seconds, and its images; the runs take turns.

    On the CPU it is the time of this process on all its cores, which other work on the machine disturbs less.
    """
    clock = time.perf_counter if device == "cuda" else time.process_time
    best, found = dict.fromkeys(runs, float("inf")), {}
    for _ in range(rounds):
        for name, attack in runs.items():
            start = clock()
            found[name] = attack()
            if device == "cuda":
                torch.cuda.synchronize()
            best[name] = min(best[name], clock() - start)
    return best, found


def against_floor(model: Subject, images: Tensor, labels: Tensor, rounds: int, device: str) -> dict[str, float]:
    """Return seconds a step of the bare passes, and of PGD and Auto-PGD without stopping, on one batch.

    Auto-PGD looks at its last point too, with a forward pass that no step pays for; its floor has that pass as well.
    """
    images, labels, steps = images[:BATCH].to(device), labels[:BATCH].to(device), 5
    batch = Batch(images=images, targets=labels, threat=THREAT, rng=[stream(0)] * len(images))
    attacks = {
        "pgd": PGD(steps=steps, random_start=False, stop=False),
        "apgd": APGDCE(steps=steps, random_start=False, stop=False),
    }

    def floor(*, last: bool) -> Attack:
        def passes() -> Tensor:
            leaf = images.detach().requires_grad_()
            for _ in range(steps):
                (gradient,) = torch.autograd.grad(F.cross_entropy(model(leaf), labels, reduction="sum"), leaf)
            if last:
                with torch.no_grad():
                    model(leaf)
            return gradient

        return passes

    def ours(attack: EvasionAttack) -> Attack:
        return lambda: attack.perturb(Counted(model), batch)

    runs = {"floor": floor(last=False), "floor_and_last": floor(last=True)}
    runs |= {name: ours(attack) for name, attack in attacks.items()}
    with untouched(model):
        timed(runs, 1, device)
        best, _ = timed(runs, 12 * rounds, device)  # short and often: other work disturbs less
    return {
        **{f"{name}_s_per_step": seconds / steps for name, seconds in best.items()},
        "ratio": best["pgd"] / best["floor"],
        "apgd_ratio": best["apgd"] / best["floor_and_last"],
    }


def batches(
    attack: Callable[[Tensor, Tensor], Tensor], images: Tensor, labels: Tensor, device: str, size: int = BATCH
) -> Attack:
    """Return a run of a peer's attack over all images, a batch at a time."""

    def whole() -> Tensor:
        parts = zip(images.split(size), labels.split(size), strict=True)
        return torch.cat([attack(x.to(device), y.to(device)).detach().cpu() for x, y in parts])

    return whole


def peers(model: Subject, images: Tensor, labels: Tensor, device: str) -> dict[str, Attack]:
    """Return PGD of each toolbox that is installed, at the same settings."""
    runs: dict[str, Attack] = {}
    if version("torchattacks"):
        import torchattacks  # noqa: PLC0415 - an optional peer

        theirs = torchattacks.PGD(model, eps=RADIUS, alpha=STEP * RADIUS, steps=STEPS, random_start=False)
        runs["torchattacks"] = batches(theirs, images, labels, device)
    if version("foolbox"):
        import foolbox  # noqa: PLC0415 - an optional peer

        wrapped = foolbox.PyTorchModel(model, bounds=(0, 1), device=device)
        linf = foolbox.attacks.LinfPGD(rel_stepsize=STEP, steps=STEPS, random_start=False)
        runs["foolbox"] = batches(lambda x, y: linf(wrapped, x, y, epsilons=RADIUS)[1], images, labels, device)
    if version("adversarial-robustness-toolbox"):
        from art.attacks.evasion import ProjectedGradientDescent  # noqa: PLC0415 - an optional peer
        from art.estimators.classification import PyTorchClassifier  # noqa: PLC0415 - an optional peer

        classifier = PyTorchClassifier(
            model,
            loss=nn.CrossEntropyLoss(),
            input_shape=(3, SIZE, SIZE),
            nb_classes=CLASSES,
            clip_values=(0, 1),
            device_type="gpu" if device == "cuda" else "cpu",
        )
        method = ProjectedGradientDescent(
            classifier, eps=RADIUS, eps_step=STEP * RADIUS, max_iter=STEPS, batch_size=BATCH, verbose=False
        )
        one_hot = np.eye(CLASSES, dtype=np.float32)[labels.numpy()]
        runs["art"] = lambda: torch.from_numpy(method.generate(images.numpy(), one_hot))
    return runs


def version(name: str) -> str:
    """Return the installed version of a distribution, or an empty string."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def against_peers(model: Subject, images: Tensor, labels: Tensor, rounds: int, device: str) -> dict[str, dict]:
    """Return seconds, success and agreement of the verdicts for us and for each peer, over all images."""

    def ours(*, stop: bool) -> Attack:
        attack = PGD(steps=STEPS, step=STEP, random_start=False, stop=stop)
        return lambda: run(attack, model, images, labels, THREAT, batch_size=BATCH).images

    runs = {"aseptic": ours(stop=True), "aseptic, no stop": ours(stop=False)} | peers(model, images, labels, device)
    best, found = timed(runs, rounds, device)
    with torch.no_grad():
        fallen = {name: model(x.to(device)).argmax(1).cpu() != labels for name, x in found.items()}
    return {
        name: {
            "seconds": best[name],
            "times_ours": best[name] / best["aseptic"],
            "success": fallen[name].float().mean().item(),
            "same_verdict": (fallen[name] == fallen["aseptic"]).float().mean().item(),
            "within_budget": bool(((found[name] - images).abs().amax() <= RADIUS * (1 + 1e-4)).item()),
        }
        for name in runs
    }


def main() -> int:
    """Train, measure, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=2)
    asked = parser.parse_args()
    warnings.filterwarnings("ignore")  # the peers' own
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model, (images, labels) = trained(device), pictures(asked.images, "test")
    with torch.no_grad():
        clean = (model(images.to(device)).argmax(1).cpu() == labels).float().mean().item()
    floor = against_floor(model, images, labels, asked.rounds, device)
    table = against_peers(model, images, labels, asked.rounds, device)
    record = {
        "date": datetime.now(UTC).date().isoformat(),
        "device": torch.cuda.get_device_name() if device == "cuda" else f"{platform.machine()} cpu",
        "threads": torch.get_num_threads(),
        "versions": {
            name: version(name) or "not installed"
            for name in ("torch", "torchattacks", "foolbox", "adversarial-robustness-toolbox")
        },
        "settings": {
            "model": f"resnet18, {SIZE} px",
            "images": asked.images,
            "batch": BATCH,
            "steps": STEPS,
            "linf": RADIUS,
            "step": STEP,
            "clean_accuracy": clean,
        },
        "floor": floor,
        "peers": table,
    }
    OUT.parent.mkdir(exist_ok=True)
    OUT.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{record['device']}, {record['threads']} threads; clean accuracy {clean:.3f}")
    for name, ratio in (("PGD", floor["ratio"]), ("APGD", floor["apgd_ratio"])):
        print(f"one {name} step without stopping costs {ratio:.3f} x one forward and backward pass")
    print(f"{'':18}{'seconds':>9}{'x ours':>8}{'success':>9}{'same verdict':>14}")
    for name, row in table.items():
        print(f"{name:18}{row['seconds']:9.2f}{row['times_ours']:8.2f}{row['success']:9.3f}{row['same_verdict']:14.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
