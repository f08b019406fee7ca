"""The section on scanners of models of docs/benchmarks/index.md."""

from typing import Any

from page_parts import table


def scanners(found: dict[str, Any]) -> str:
    """Return the section on scanners of models."""
    body = [
        [f"`{arch}`", name, f"{row['times_ours'][name]:.2f}", ", ".join(f"{size:.3f}" for size in row["sizes"][name])]
        for arch, row in found["networks"].items()
        for name in row["times_ours"]
    ]
    settings = found["settings"]
    return (
        f"## Scanners of models\n\n`python benchmarks/bench_scanners.py` on {found['device']}, {found['threads']} "
        f"threads: Neural Cleanse of {settings['classes']} classes at {settings['side']} px, {settings['rounds']} "
        f"rounds of {settings['images']} images in steps of {settings['batch']}. `one by one` is the same search, "
        "one class after the other; `plain loop` is torch's Adam in a loop over the classes, without an early end.\n\n"
        + table(["network", "run", "time, one batch = 1", "share of the image under each class's mask"], body)
    )
