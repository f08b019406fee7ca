"""The section on FIBA of docs/benchmarks/index.md."""

from typing import Any

from page_parts import table

FREQUENCY = {
    "fiba": "FIBA",
    "recipe": "the recipe in NumPy, image by image",
    "recipe, kept": "the same, the picture's spectrum computed once",
    "transforms": "a Fourier transform and its inverse, nothing else",
    "transforms, real": "the same, of half the spectrum",
}
"""Runs of the frequency benchmark, in words."""


def frequency(found: dict[str, Any]) -> str:
    """Return the section on FIBA."""
    channels, *sides = found["shape"]
    body = [
        [
            f"{row['device']}, {row['batch']} at a time",
            words,
            f"{1 / row['seconds'][name]:.0f}",
            f"{row['times_fiba'][name]:.2f}",
        ]
        for row in found["devices"].values()
        for name, words in FREQUENCY.items()
    ]
    return (
        "## FIBA against its recipe\n\n`python benchmarks/bench_frequency.py`: images of "
        f"{' x '.join(map(str, sides))} pixels and {channels} channels, {found['threads']} threads. The recipe runs in "
        "double precision on the processor; FIBA and the transforms run in single precision, FIBA at most "
        f"{max(row['apart'] for row in found['devices'].values()):.0e} from the recipe.\n\n"
        + table(["device", "what", "images a second", "time, FIBA = 1"], body)
    )
