"""The record of a run: what is written is what is read, under the schema that is shipped."""

import importlib.resources
import json
import math
from datetime import UTC, datetime, timedelta, timezone

import jsonschema
import pytest
from pydantic import ValidationError

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.core.record import (
    Failed,
    Finding,
    Results,
    Skipped,
    finding,
    read_results,
    results_schema,
    write_results,
)

ACCURACY = Estimate(value=0.9, low=0.8, high=0.95, n=30)


def results(**changes):
    facts = {
        "aseptic_version": "0.1.0",
        "created": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "command": ["aseptic", "audit"],
        "config": {"eps": [0.25, 1]},
        "environment": {"python": "3.11"},
        "model": {},
        "data": {},
        "findings": [finding("clean.accuracy", "Accuracy.", method="audit", metric="accuracy", estimate=ACCURACY)],
        "skipped": [Skipped(id="scan", title="Scan", reason="not asked for")],
        "failed": [Failed(id="cell", title="Cell", reason="out of memory")],
        "timings": {"clean": 1.5},
    }
    return Results(**(facts | changes))


def test_what_is_written_is_read_back(tmp_path):
    path = write_results(results(), tmp_path / "run")
    assert read_results(tmp_path / "run") == results()
    assert path.name == "results.json"
    assert json.loads(path.read_text())["created"] == "2026-01-02T03:04:05+00:00"


def test_the_file_obeys_the_schema_that_is_shipped(tmp_path):
    shipped = (importlib.resources.files("aseptic.core") / "results.schema.json").read_text()
    assert shipped == results_schema()
    written = json.loads(write_results(results(), tmp_path).read_text())
    jsonschema.validate(written, json.loads(shipped))
    with pytest.raises(jsonschema.ValidationError, match="'urgent' is not one of"):
        jsonschema.validate(
            written | {"findings": [written["findings"][0] | {"severity": "urgent"}]}, json.loads(shipped)
        )


def test_a_finding_carries_its_estimate():
    found = finding("a.b", "Title.", method="pgd", metric="accuracy", estimate=ACCURACY, args={"steps": 3})
    assert (found.value, found.ci_low, found.ci_high, found.n) == (0.9, 0.8, 0.95, 30)
    assert (found.args, found.severity, found.artefacts) == ({"steps": 3}, "info", [])


def test_what_was_not_measured_is_null_and_never_zero():
    found = finding("a.b", "Title.", method="pgd", metric="auroc", estimate=NOT_MEASURED)
    assert (found.value, found.ci_low, found.ci_high, found.n) == (None, None, None, 0)
    assert finding("a.b", "Title.", method="check", metric="check").n is None
    assert Finding(id="a", title="b", method="c", metric="d", value=math.inf).value is None


def test_the_time_is_written_in_utc(tmp_path):
    local = datetime(2026, 1, 2, 3, tzinfo=timezone(timedelta(hours=5)))
    path = write_results(results(created=local), tmp_path)
    assert json.loads(path.read_text())["created"] == "2026-01-01T22:00:00+00:00"


def test_refuses_a_field_that_is_not_in_the_schema():
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        results(verdict="safe")


def test_refuses_a_folder_without_results_and_a_file_that_is_none(tmp_path):
    with pytest.raises(InputError, match=r"run folder must hold results\.json, found none in "):
        read_results(tmp_path)
    (tmp_path / "results.json").write_text('{"schema_version": "9"}')
    with pytest.raises(InputError, match=r"results\.json is not a results file of schema 1\.\d"):
        read_results(tmp_path)
