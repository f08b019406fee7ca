"""Peak memory of reading a data set does not grow with the number of images.

Generates PNGs, then reads all of them in batches in a child process for each number of images and size of cache, and
prints the peak resident memory of each. Without a cache the peak may grow by the list of items alone; with one, by at
most its limit. Run as ``python benchmarks/bench_memory.py``.
"""

import argparse
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COUNTS = (1_000, 20_000)
"""Numbers of images compared."""
SIDE = 64
"""Rows and columns of an image."""
BATCH = 64
MIB = 1 << 20
CACHES = (0, 64 * MIB)
"""Limits of the cache in bytes."""
ITEM_BYTES = 2048
"""What one image may cost beside its pixels: its item, path, id and label."""
SLACK = 32 * MIB
"""What an allocator may keep back."""
RESULTS = Path(__file__).parent / "results" / "memory.json"


def generate(folder: Path, n: int) -> None:
    """Write ``n`` random grey PNGs and their labels.csv."""
    import numpy as np  # noqa: PLC0415 - the parent needs no array

    from aseptic.core.rng import numpy_stream  # noqa: PLC0415 - as above
    from aseptic.data.png import encode_png  # noqa: PLC0415 - as above

    rng = numpy_stream(0, "memory")
    lines = ["file,label"]
    for i in range(n):
        levels = rng.integers(0, 256, (SIDE, SIDE, 1), dtype=np.uint8)
        (folder / f"{i:06d}.png").write_bytes(encode_png(levels, 8, "random levels"))
        lines.append(f"{i:06d}.png,{i % 2}")
    (folder / "labels.csv").write_text("\n".join(lines))


def read(folder: Path, n: int, cache: int) -> dict[str, float]:
    """Read the first ``n`` images in batches; return the peak of this process in bytes, and seconds."""
    from aseptic.data.load import load_data  # noqa: PLC0415 - only the child reads

    table = folder / f"first-{n}.csv"
    lines = (folder / "labels.csv").read_text().splitlines()
    table.write_text("\n".join(lines[: n + 1]))
    start = time.perf_counter()
    data = load_data(table).with_cache(cache)
    seen, total = 0, 0.0
    for batch in data.batches(BATCH):
        seen += len(batch.images)
        total += batch.images.sum().item()
    assert seen == n
    assert abs(total / (n * SIDE * SIDE) - 0.5) < 0.01, "random levels have a mean of one half"
    unit = 1 if sys.platform == "darwin" else 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    return {"peak": peak, "seconds": time.perf_counter() - start}


def measure(folder: Path, n: int, cache: int) -> dict[str, float]:
    """Read in a child process, so that no peak hides behind an earlier one."""
    command = [sys.executable, __file__, "--child", str(folder), str(n), str(cache)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MALLOC_ARENA_MAX": "2"}
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def main() -> int:
    """Measure every pair, print a table, store a row, and return 1 where memory grew by more than is allowed."""
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        generate(folder, max(COUNTS))
        for cache in CACHES:
            peaks = []
            for n in COUNTS:
                found = measure(folder, n, cache)
                peaks.append(found["peak"])
                rate, peak = n / found["seconds"], found["peak"] / MIB
                print(f"cache {cache / MIB:4.0f} MiB  {n:6d} images  peak {peak:7.1f} MiB  {rate:6.0f} images/s")
                row = {"cache_mib": cache / MIB, "images": n, "peak_mib": round(peak, 1)}
                rows.append(row | {"images_per_second": round(rate)})
            allowed = cache + ITEM_BYTES * (COUNTS[-1] - COUNTS[0]) + SLACK
            rows[-1]["grew_mib"] = round((peaks[-1] - peaks[0]) / MIB, 1)
            rows[-1]["allowed_mib"] = round(allowed / MIB, 1)
            print(f"    grew by {rows[-1]['grew_mib']} MiB, {rows[-1]['allowed_mib']} MiB allowed")
    machine = {"system": platform.platform(), "cores": os.cpu_count(), "python": platform.python_version()}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps({"side": SIDE, "batch": BATCH, "machine": machine, "rows": rows}, indent=2) + "\n")
    return int(any(row.get("grew_mib", 0) > row.get("allowed_mib", 0) for row in rows))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", nargs=3, metavar=("FOLDER", "IMAGES", "CACHE"), help=argparse.SUPPRESS)
    child = parser.parse_args().child
    if child:
        print(json.dumps(read(Path(child[0]), int(child[1]), int(child[2]))))
    else:
        sys.exit(main())
