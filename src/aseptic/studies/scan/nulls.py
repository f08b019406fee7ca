"""The statistics of twins by scanner: kept in one file for all models of a kind."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import TypeAdapter, ValidationError

from aseptic.core.documents import told
from aseptic.core.errors import InputError
from aseptic.core.record import write_text
from aseptic.models.subject import Subject
from aseptic.scanners.base import ModelScanner
from aseptic.scanners.calibration import Null, check_same, read_null
from aseptic.studies.scan.settings import ScanSettings

NULL_FILE = "null.json"
"""Name of the file in a run folder."""


def write_nulls(nulls: Mapping[str, Null], path: Path) -> Path:
    """Write the statistics of twins, by scanner, as JSON."""
    return write_text(
        path, json.dumps({name: asdict(one) for name, one in nulls.items()}, indent=2, allow_nan=False) + "\n"
    )


def read_nulls(path: Path) -> dict[str, Null]:
    """Return what `write_nulls`, or `aseptic.scanners.calibration.write_null` of one scanner, wrote.

    Raises:
        InputError: The file is absent or holds something else.
    """
    if path.is_file() and _is_one(path.read_bytes()):
        one = read_null(path)
        return {str(one.scanner.get("name")): one}
    if not path.is_file():
        raise InputError(f"null must be a file such as RUN/{NULL_FILE}, and {path} is none")
    try:
        return TypeAdapter(dict[str, Null]).validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} must hold what a scan with twins writes: {told(error)}") from error


def check_null(null: Null, scanner: ModelScanner, subject: Subject, settings: ScanSettings) -> None:
    """Check that twins are those of a model and were scanned as it is to be.

    Raises:
        InputError: They are of another architecture, size or number of channels; or scanned with other settings,
            another number of images or another seed.
    """
    check_same(scanner.describe(), null.scanner)
    recipe, spec = null.facts.get("recipe"), subject.spec
    facts = recipe if isinstance(recipe, dict) else {}
    own = {"arch": subject.architecture, "size": spec.size[0] if spec.size else None, "channels": spec.channels}
    for name, value in own.items():
        if name in facts and facts[name] != value:
            raise InputError(
                f"twins must be like the model: {name} is {value!r} for the model, {facts[name]!r} for the twins"
            )
    for name, given in (("images", settings.images), ("seed", settings.seed)):
        if name in null.facts and null.facts[name] != given:
            raise InputError(f"{name} must be {null.facts[name]} as for the twins, got {given}")


def scanned_as(nulls: Mapping[str, Null]) -> dict[str, Any]:
    """Return the settings of a `ScanSettings` with which twins were scanned, so that a model can be scanned alike.

    >>> scanned_as({"mm-bd": Null(scanner={"name": "mm-bd", "starts": 4}, clean={}, facts={"images": 32})})
    {'scanners': {'mm-bd': {'starts': 4}}, 'images': 32}
    """
    asked: dict[str, Any] = {
        "scanners": {
            scanner: {name: value for name, value in null.scanner.items() if name != "name"}
            for scanner, null in nulls.items()
        }
    }
    for null in nulls.values():
        asked |= {name: null.facts[name] for name in ("images", "seed") if name in null.facts}
    return asked


def twin_rows(nulls: Mapping[str, Null]) -> pa.Table:
    """Return one row for each twin and scanner; ``backdoor`` is empty for clean twins."""
    rows = [
        {"scanner": scanner, "twin": twin, "backdoor": kind, "statistic": value}
        for scanner, null in nulls.items()
        for kind, group in {"": null.clean, **null.infected}.items()
        for twin, value in group.items()
    ]
    schema = pa.schema(
        [("scanner", pa.string()), ("twin", pa.string()), ("backdoor", pa.string()), ("statistic", pa.float64())]
    )
    return pa.Table.from_pylist(rows, schema=schema)


def _is_one(content: bytes) -> bool:
    try:
        found = json.loads(content)
    except ValueError:
        return False
    return isinstance(found, dict) and "clean" in found
