"""The command line in this process, and a small data set for it."""

import io
import sys
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aseptic.cli.main import main
from aseptic.core.rng import numpy_stream

CLASSES = ("dark", "light")


@dataclass(frozen=True)
class Called:
    stdout: str
    stderr: str


def call(*words, cwd=None, expect=0):
    """Run the command line in this process: a fresh one would spend its time on imports."""
    given, out, err = sys.argv, io.StringIO(), io.StringIO()
    sys.argv = ["aseptic", *map(str, words)]
    try:
        with redirect_stdout(out), redirect_stderr(err), chdir(cwd or "."), pytest.raises(SystemExit) as ended:
            main()
    finally:
        sys.argv = given
    found = Called(stdout=out.getvalue(), stderr=err.getvalue())
    assert (ended.value.code or 0) == expect, found.stdout + found.stderr
    return found


def write_images(folder: Path, count: int = 60, side: int = 24) -> Path:
    """Two classes that differ in the brightness of one corner, by patient and split."""
    rng = numpy_stream(0, "cli images")
    lines = ["file,label,split,patient_id"]
    folder.mkdir(parents=True, exist_ok=True)
    for i in range(count):
        pixels = rng.normal(110, 12, (side, side))
        pixels[:8, :8] += 40 * (i % 2)
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(folder / f"{i:03d}.png")
        split = "train" if i < count // 2 else "val" if i < 2 * count // 3 else "test"
        lines.append(f"{i:03d}.png,{CLASSES[i % 2]},{split},p{i}")
    (folder / "labels.csv").write_text("\n".join(lines) + "\n")
    return folder
