"""Reads a run folder: the record, the raw rows, the pictures and the configuration."""

import base64
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.core.record import Results, read_results

PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, kw_only=True)
class Run:
    """Everything that the page is made from."""

    folder: Path
    """The run folder."""
    results: Results
    """The record."""
    digest: str
    """SHA-256 of ``results.json``, so that a printed page can be tied to its record."""
    clean_rows: list[dict[str, Any]]
    """Raw rows of the untouched images; empty where no rows were stored."""
    examples: list[dict[str, Any]]
    """Image comparisons, in the order in which they are shown."""
    infected: list[dict[str, Any]]
    """Comparisons of images without and with a trigger."""
    config: str
    """What was asked, as YAML; empty where the file is absent."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """A PNG as it is embedded in the page."""

    source: str
    """Data address."""
    width: int
    """Width in pixels."""
    height: int
    """Height in pixels."""


def read_run(folder: Path) -> Run:
    """Read a run folder; only ``results.json`` must be there.

    Raises:
        InputError: The record is absent, or a file that is there cannot be read.
    """
    config = folder / "config.yaml"
    return Run(
        folder=folder,
        results=read_results(folder),
        digest=file_sha256(folder / "results.json"),
        clean_rows=_clean_rows(folder / "rows" / "images.parquet"),
        examples=_examples(folder / "figures" / "examples.json"),
        infected=_examples(folder / "figures" / "infected.json"),
        config=config.read_text(encoding="utf-8") if config.is_file() else "",
    )


def read_picture(folder: Path, name: object) -> Picture | None:
    """Return a PNG of the run folder, or None where there is no such file inside it.

    Raises:
        InputError: The file is not a PNG.
    """
    path = (folder / str(name)).resolve()
    if not isinstance(name, str) or not path.is_relative_to(folder.resolve()) or not path.is_file():
        return None
    content = path.read_bytes()
    if not content.startswith(PNG) or content[12:16] != b"IHDR":
        raise InputError(f"figures must be PNG files, got {name} which is not one")
    width, height = struct.unpack(">II", content[16:24])
    return Picture(
        source="data:image/png;base64," + base64.b64encode(content).decode("ascii"), width=width, height=height
    )


def _clean_rows(path: Path) -> list[dict[str, Any]]:
    """Return the clean rows of the attacks; those of an infection are the same images once more."""
    if not path.is_file():
        return []
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"rows must be Parquet files, cannot read {path}: {error}") from error
    rows: list[dict[str, Any]] = table.filter(pc.equal(table["condition"].cast(pa.string()), "clean")).to_pylist()
    return rows


def _examples(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} must be JSON: {error}") from error
    if not isinstance(found, list) or not all(isinstance(example, dict) for example in found):
        raise InputError(f"{path} must hold a list of examples, got {type(found).__name__}")
    return found
