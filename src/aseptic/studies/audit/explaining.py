"""The explanation cell: where the model looks, clean against attacked, as numbers for each image."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import torch

from aseptic.core.errors import InputError
from aseptic.engine.cells import Job
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.explain.compare import compare
from aseptic.studies import raw
from aseptic.studies.audit.cells import ATTACKED, open_chunk
from aseptic.studies.yardsticks.decisions import COMPARED


def explain(job: Job) -> Mapping[str, Any]:
    """Cell: drift of Grad-CAM and saliency from clean to attacked, each explained for its own decision."""
    chunk = open_chunk(job)
    attacked = torch.from_numpy(np.load(job.inputs["attack"].folder / ATTACKED))[: len(chunk.ids)]
    columns: dict[str, Any] = {"id": list(chunk.ids), "patient": pa.array(list(chunk.patients), pa.string())}
    refused = {}
    for name in COMPARED:
        try:
            found = compare(chunk.subject, chunk.images, attacked, EXPLAINERS.load(name)).drift_decided
        except InputError as error:  # a network without convolutions has no class activation map
            refused[name] = str(error)
            continue
        columns[f"{name}.rank_correlation"] = found.rank
        columns[f"{name}.top_overlap"] = found.overlap
        columns[f"{name}.centre_shift"] = found.shift
    raw.save([pa.table(columns)], job.folder)
    return {"refused": refused}
