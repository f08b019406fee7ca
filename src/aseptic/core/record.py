"""The record of a run: what was asked, on what, what was found, what was not looked at, and what broke."""

import json
import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.files import write_whole

SCHEMA_VERSION = "1.0"
SEVERITIES = ("info", "low", "medium", "high", "critical")
Severity = Literal["info", "low", "medium", "high", "critical"]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Finding(_Strict):
    """One measured number or one checked fact."""

    id: str = Field(description="Stable dotted name: section first, as in curve.pgd.accuracy@2.")
    title: str = Field(description="The finding in one sentence.")
    method: str = Field(description="What measured it: an attack, a metric, a check.")
    args: dict[str, Any] = Field(default_factory=dict, description="Every setting of the method.")
    metric: str = Field(description="Name of the number: accuracy, auroc, success, check.")
    value: float | None = Field(default=None, description="The number; null where there is none.")
    ci_low: float | None = Field(default=None, description="Lower end of the 95 % interval.")
    ci_high: float | None = Field(default=None, description="Upper end of the 95 % interval.")
    n: int | None = Field(default=None, description="Images behind the number.")
    unit: str = Field(default="", description="Unit of the value; empty for a share.")
    threat: str | None = Field(default=None, description="MITRE ATLAS technique, such as AML.T0043.")
    severity: Severity = "info"
    artefacts: list[str] = Field(default_factory=list, description="Files in the run folder that back it.")

    @field_validator("value", "ci_low", "ci_high")
    @classmethod
    def _nan_is_null(cls, value: float | None) -> float | None:
        return None if value is None or not math.isfinite(value) else value


class Skipped(_Strict):
    """Something that was not looked at, and why."""

    id: str
    title: str
    reason: str


class Failed(_Strict):
    """Something that broke; the traceback is kept, the rest of the run went on."""

    id: str
    title: str
    reason: str
    traceback: str = ""


class Results(_Strict):
    """Everything in ``results.json``."""

    schema_version: str = SCHEMA_VERSION
    aseptic_version: str
    created: datetime
    command: list[str]
    config: dict[str, Any]
    environment: dict[str, str]
    model: dict[str, Any]
    data: dict[str, Any]
    findings: list[Finding]
    skipped: list[Skipped]
    failed: list[Failed]
    timings: dict[str, float] = Field(description="Seconds spent in each cell, when it was computed.")

    @field_serializer("created")
    def _iso(self, created: datetime) -> str:
        return created.astimezone(UTC).isoformat(timespec="seconds")


def finding(  # noqa: PLR0913 - the fields of a finding, by keyword
    name: str,
    title: str,
    *,
    method: str,
    metric: str,
    estimate: Estimate | None = None,
    args: dict[str, Any] | None = None,
    severity: Severity = "info",
    threat: str | None = None,
    unit: str = "",
    artefacts: Sequence[str] = (),
) -> Finding:
    """Return a finding whose number, interval and count come from ``estimate``."""
    numbers = {} if estimate is None else {"value": estimate.value, "ci_low": estimate.low, "ci_high": estimate.high}
    return Finding(
        id=name,
        title=title,
        method=method,
        metric=metric,
        args=args or {},
        severity=severity,
        threat=threat,
        unit=unit,
        artefacts=list(artefacts),
        n=None if estimate is None else estimate.n,
        **numbers,
    )


def write_text(path: Path, text: str) -> Path:
    """Write a file so that a reader sees the old one or the new one, never half of it."""
    write_whole(path, text.encode())
    return path


def write_results(results: Results, folder: Path) -> Path:
    """Write ``results.json`` into ``folder``."""
    return write_text(folder / "results.json", results.model_dump_json(indent=2) + "\n")


def read_results(folder: Path) -> Results:
    """Read ``results.json`` from ``folder``.

    Raises:
        InputError: There is none, it is not JSON, or it is of another schema.
    """
    path = folder / "results.json"
    if not path.is_file():
        raise InputError(f"run folder must hold results.json, found none in {folder}")
    try:
        return Results.model_validate_json(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise InputError(f"{path} is not a results file of schema {SCHEMA_VERSION}: {error}") from error


def results_schema() -> str:
    """Return the JSON schema of ``results.json``, as it is shipped in the package."""
    schema = Results.model_json_schema(mode="serialization")
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}, indent=2) + "\n"
