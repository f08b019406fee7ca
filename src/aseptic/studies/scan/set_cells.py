"""The cell that scans a training set: each image, each label, and the same with labels that were dealt anew."""

import time
from collections.abc import Mapping
from math import isnan
from typing import Any

import pyarrow as pa

from aseptic.data.imageset import ImageSet
from aseptic.data.targets import label_text
from aseptic.engine.cells import Job
from aseptic.scanners.sets.base import SetScan
from aseptic.scanners.sets.catalogue import make_set_scanner
from aseptic.scanners.sets.nulls import null_statistics
from aseptic.studies import raw
from aseptic.studies.scan.pictures import thumbnail


def look(job: Job) -> Mapping[str, Any]:
    """Cell: what a scanner finds in a set, as rows and thumbnails, and its statistics of permuted sets."""
    config, data = job.config, job.context["data"]
    name = config["scanner"]["name"]
    scanner, clock = make_set_scanner(**config["scanner"]), time.perf_counter()
    evidence = scanner.collect(data, job.context["model"], batch_size=config["batch_size"])
    found = scanner.judge(evidence, seed=config["seed"])
    seconds = time.perf_counter() - clock
    null = null_statistics(scanner, evidence, draws=config["draws"], seed=config["seed"])
    raw.save([_rows(name, data, found)], job.folder)
    return {
        "scanner": config["scanner"],
        "statistic": found.statistic,
        "groups": [
            {"name": one.name, "images": one.images, "statistic": one.statistic, "details": _known(one.details)}
            for one in found.groups
        ],
        "not_looked_at": list(found.skipped),
        "null": null.tolist(),
        "seconds": seconds,
        "suspicious": [
            {
                "id": data.ids[row],
                "label": label_text(data.classes, data.items[row].label),
                "suspicion": float(found.suspicion[row]),
                "picture": thumbnail(data.shown(row), job.folder, f"{name}_{rank}"),
            }
            for rank, row in enumerate(found.ranked()[: config["shown"]])
        ],
    }


def _rows(name: str, data: ImageSet, found: SetScan) -> pa.Table:
    """Return one row for each image; of one that was not looked at, the suspicion is NaN."""
    return pa.table(
        {
            "scanner": [name] * len(data),
            "id": list(data.ids),
            "patient": pa.array(data.patients, pa.string()),
            "label": [label_text(data.classes, item.label) for item in data.items],
            "suspicion": found.suspicion.double().tolist(),
        }
    )


def _known(details: Mapping[str, float]) -> dict[str, float]:
    return {name: float(value) for name, value in details.items() if not isnan(value)}
