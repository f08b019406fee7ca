"""Files that the tests of the data floor write, and a key that does not touch the user's."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from aseptic.core.rng import numpy_stream


@pytest.fixture(autouse=True)
def _key(monkeypatch):
    """Pseudonyms are the same in every test run, and no key file is written."""
    monkeypatch.setenv("ASEPTIC_PSEUDONYM_KEY", "a key for tests")


@pytest.fixture
def draw(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a random grey PNG below the test's folder."""

    def write(name: str, shape: tuple[int, ...] = (8, 6), dtype: type = np.uint8) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        levels = numpy_stream(0, name).integers(0, np.iinfo(dtype).max, shape, endpoint=True, dtype=dtype)
        Image.fromarray(levels).save(path)
        return path

    return write


@pytest.fixture
def table(tmp_path) -> Callable[..., Path]:
    """Return a function that writes a labels.csv from lines."""

    def write(*lines: str, name: str = "labels.csv") -> Path:
        (tmp_path / name).write_text("\n".join(lines) + "\n", "utf-8")
        return tmp_path / name

    return write
