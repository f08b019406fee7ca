"""Fixtures that every test may use."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # small tensors: two threads wait for each other longer than they work

REAL = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def real() -> Callable[[str], Path]:
    """Return a function from the name of a real data set to its folder; skips where the folder is absent."""
    root = Path(os.environ.get("ASEPTIC_REAL_DATA", REAL))

    def find(name: str) -> Path:
        if not (folder := root / name).is_dir():
            pytest.skip(f"real data set {name!r} is not at {root}")
        return folder

    return find


@pytest.fixture(scope="session")
def victim() -> object:
    """Return a small trained network and images that it gets right."""
    from victims import train_victim  # noqa: PLC0415 - the package must be imported after pytest has hooked its types

    return train_victim()
