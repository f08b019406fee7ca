"""What starting costs: `aseptic --help` in CPU seconds, and `import aseptic` against `import torch`."""

import json
import resource
import statistics
import subprocess
import sys
from pathlib import Path

RUNS = 7
COMMANDS = {
    "aseptic --help": ["-m", "aseptic", "--help"],
    "import torch": ["-c", "import torch"],
    "import aseptic": ["-c", "import aseptic"],
    "import aseptic and use it": ["-c", "import aseptic; aseptic.Threat; aseptic.load_model; aseptic.load_data"],
}


def cpu_seconds(words: list[str]) -> float:
    """Return the user and system time of one child process."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, *words], check=True, stdout=subprocess.DEVNULL)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Measure in turns, so that a change of the machine's speed meets all commands alike."""
    seconds: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for turn in range(RUNS + 1):
        for name, words in COMMANDS.items():
            found = cpu_seconds(words)
            if turn:  # the first turn compiles
                seconds[name].append(found)
    median = {name: round(statistics.median(values), 3) for name, values in seconds.items()}
    torch = median["import torch"]
    rows = [
        {"command": name, "cpu_seconds": value, "of_import_torch": round(value / torch, 2)}
        for name, value in median.items()
    ]
    for row in rows:
        print(f"{row['command']:<28} {row['cpu_seconds']:6.3f} s   {row['of_import_torch']:5.2f} x import torch")
    target = Path(__file__).parent / "results" / "startup.json"
    target.parent.mkdir(exist_ok=True)
    target.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
