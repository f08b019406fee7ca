"""Images a second of each trigger: ``python benchmarks/bench_poisoning.py`` writes results/poisoning.json.

The ratio to a plain copy of the same batch says what a trigger costs beyond moving its images through memory.
"""

import json
import time
from collections.abc import Callable
from pathlib import Path

import torch
from bench_phantoms import processor
from torch import Tensor

from aseptic.core.rng import stream
from aseptic.triggers import TRIGGERS, make_trigger

SIDE, CHANNELS, BATCH, ROUNDS = 224, 3, 32, 20
FLOORS = {"patch": 2000, "wanet": 300}
"""Least images a second on two cores."""
TARGET = Path(__file__).parent / "results" / "poisoning.json"


def measure(runs: dict[str, Callable[[], Tensor]]) -> dict[str, float]:
    """Return the least seconds of each run; they take turns, so that other work disturbs all of them alike."""
    best = dict.fromkeys(runs, float("inf"))
    for run in runs.values():
        run()  # what is computed once for each size
    for _ in range(ROUNDS):
        for name, run in runs.items():
            start = time.perf_counter()
            run()
            best[name] = min(best[name], time.perf_counter() - start)
    return best


def main() -> None:
    """Measure, print a table, write the numbers."""
    images = torch.rand(BATCH, CHANNELS, SIDE, SIDE, generator=stream(0, "bench"))
    runs: dict[str, Callable[[], Tensor]] = {"copy": images.clone}
    for name in TRIGGERS.names():
        trigger = make_trigger(name)
        runs[name] = lambda trigger=trigger: trigger.apply(images)
    seconds = measure(runs)
    rows = {
        name: {"per_second": BATCH / value, "times_copy": value / seconds["copy"]} for name, value in seconds.items()
    }
    print(f"{'trigger':<12}{'images/s':>10}{'x copy':>9}")
    for name, row in rows.items():
        below = f"   below {FLOORS[name]}" if row["per_second"] < FLOORS.get(name, 0) else ""
        print(f"{name:<12}{row['per_second']:>10.0f}{row['times_copy']:>9.1f}{below}")
    held = {
        "machine": processor(),
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "shape": [BATCH, CHANNELS, SIDE, SIDE],
        "floors": FLOORS,
        "triggers": rows,
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(held, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
