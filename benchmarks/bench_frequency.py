"""FIBA against its recipe and against the Fourier transforms alone: ``python benchmarks/bench_frequency.py``.

The recipe is that of the authors' code, written in NumPy: image by image, the spectrum of the trigger's picture
computed again each time; ``kept`` computes it once. The transforms are those of PyTorch, of the whole batch: a forward
and an inverse one and nothing else, complex and (``real``) of half the spectrum. Writes results/frequency.json.
"""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bench_phantoms import processor
from torch import Tensor

from aseptic.core.rng import stream
from aseptic.triggers import FIBA

SIDE, CHANNELS = 224, 3
BATCH = {"cpu": 32, "cuda": 512}
RECIPE, ROUNDS = 8, 15
"""Images that the recipe is given, and turns of which the fastest counts."""
FASTER, OF_TRANSFORMS = 20, 2
"""Goals: so many times the recipe, and at most so many times the two transforms."""
TARGET = Path(__file__).parent / "results" / "frequency.json"


def recipe(image: np.ndarray, wanted: np.ndarray, alpha: float, beta: float) -> np.ndarray:
    """Return an image of 0 to 255, ``[channel, row, column]``, with the amplitudes of ``wanted`` mixed in."""
    spectrum = np.fft.fft2(image)
    mixed, phase = np.fft.fftshift(np.abs(spectrum), axes=(-2, -1)), np.angle(spectrum)
    height, width = image.shape[-2:]
    reach, row, column = math.floor(min(height, width) * beta), height // 2, width // 2
    inside = (slice(None), slice(row - reach, row + reach + 1), slice(column - reach, column + reach + 1))
    mixed[inside] = (1 - alpha) * mixed[inside] + alpha * wanted[inside]
    found = np.fft.ifft2(np.fft.ifftshift(mixed, axes=(-2, -1)) * np.exp(1j * phase))
    return np.clip(np.real(found) / 255, 0, 1)


def amplitudes(picture: np.ndarray) -> np.ndarray:
    """Return the shifted amplitudes of a picture of 0 to 255."""
    return np.fft.fftshift(np.abs(np.fft.fft2(picture)), axes=(-2, -1))


def best(runs: dict[str, tuple[Callable[[], Any], int]], device: str) -> dict[str, float]:
    """Return the least seconds an image of each run; they take turns, so that other work disturbs all of them alike."""
    found = dict.fromkeys(runs, math.inf)
    for turn in range(ROUNDS + 1):  # the first turn computes what is computed once for each size
        for name, (run, images) in runs.items():
            start = time.perf_counter()
            run()
            if device == "cuda":
                torch.cuda.synchronize()
            if turn:
                found[name] = min(found[name], (time.perf_counter() - start) / images)
    return found


def measure(device: str) -> dict[str, Any]:
    """Return seconds an image on one device, and how far the result is from that of the recipe."""
    trigger, count = FIBA(), BATCH[device]
    images = torch.rand(count, CHANNELS, SIDE, SIDE, generator=stream(0, "bench")).to(device)
    levels = images[:RECIPE].cpu().double().numpy() * 255
    picture = trigger.picture(CHANNELS, (SIDE, SIDE)).double().numpy() * 255
    once = amplitudes(picture)

    def transforms(forward: Callable[..., Tensor], back: Callable[..., Tensor]) -> Callable[[], Tensor]:
        return lambda: back(forward(images), s=(SIDE, SIDE))

    def written(wanted: Callable[[], np.ndarray]) -> Callable[[], list[np.ndarray]]:
        return lambda: [recipe(image, wanted(), trigger.alpha, trigger.beta) for image in levels]

    seconds = best(
        {
            "fiba": (lambda: trigger.apply(images), count),
            "recipe": (written(lambda: amplitudes(picture)), RECIPE),
            "recipe, kept": (written(lambda: once), RECIPE),
            "transforms": (transforms(torch.fft.fft2, torch.fft.ifft2), count),
            "transforms, real": (transforms(torch.fft.rfft2, torch.fft.irfft2), count),
        },
        device,
    )
    apart = trigger.apply(images)[:RECIPE].cpu().double().numpy() - np.stack(written(lambda: once)())
    return {
        "device": torch.cuda.get_device_name() if device == "cuda" else processor(),
        "batch": count,
        "seconds": seconds,
        "times_fiba": {name: value / seconds["fiba"] for name, value in seconds.items()},
        "apart": float(np.abs(apart).max()),
    }


def main() -> None:
    """Measure on the processor and, where there is one, on the accelerator; print a table, write the numbers."""
    devices = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    rows = {device: measure(device) for device in devices}
    for row in rows.values():
        print(f"{row['device']}, {row['batch']} images at a time, {row['apart']:.1e} from the recipe")
        for name, value in row["seconds"].items():
            print(f"  {name:<18}{1 / value:>10.0f} images/s{row['times_fiba'][name]:>8.2f} x fiba")
        if row["times_fiba"]["recipe"] < FASTER or 1 / row["times_fiba"]["transforms, real"] > OF_TRANSFORMS:
            print(f"  below the goals: {FASTER} x the recipe, {OF_TRANSFORMS} x the transforms")
    held = {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "shape": [CHANNELS, SIDE, SIDE],
        "goals": {"recipe": FASTER, "transforms": OF_TRANSFORMS},
        "devices": rows,
    }
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(held, indent=2) + "\n", "utf-8")


if __name__ == "__main__":
    main()
