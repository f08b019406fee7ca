"""Images a second of each phantom on one core: ``python benchmarks/bench_phantoms.py`` (results/phantoms.json)."""

import json
import platform
import time
from pathlib import Path

import torch

from aseptic.data.phantoms import PHANTOMS, draw

SIZES = (64, 256)
COUNTS = {64: 256, 256: 32}
ROUNDS = 3
FLOOR = 300
"""Least images a second at 64 pixels."""
TARGET = Path(__file__).parent / "results" / "phantoms.json"


def measure(name: str, size: int) -> dict[str, float]:
    """Return the best images a second of several rounds, by the clock and by the time of the thread."""
    draw(name, 16, size=size, seed=0)
    walls, busy = [], []
    for _ in range(ROUNDS):
        wall, cpu = time.perf_counter(), time.thread_time()
        draw(name, COUNTS[size], size=size, seed=0)
        walls.append(time.perf_counter() - wall)
        busy.append(time.thread_time() - cpu)
    return {"per_second": COUNTS[size] / min(walls), "per_cpu_second": COUNTS[size] / min(busy)}


def processor() -> str:
    """Return the name of the processor."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def main() -> None:
    """Measure, print a table, write the numbers."""
    torch.set_num_threads(1)
    rows = {name: {str(size): measure(name, size) for size in SIZES} for name in PHANTOMS.names()}
    print(f"{'phantom':<12}{'64 px: /s':>12}{'/cpu s':>9}{'256 px: /s':>13}{'/cpu s':>9}")
    for name, row in rows.items():
        numbers = [row[str(size)][key] for size in SIZES for key in ("per_second", "per_cpu_second")]
        print(f"{name:<12}{numbers[0]:>12.0f}{numbers[1]:>9.0f}{numbers[2]:>13.0f}{numbers[3]:>9.0f}")
    held = {"machine": processor(), "torch": torch.__version__, "threads": 1, "floor_at_64": FLOOR, "images": rows}
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(held, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
