"""Raw rows: one for each image and condition, written before anything is averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch

from aseptic.core.types import Flags, Logits, PerImage, Targets
from aseptic.studies.yardsticks.base import Yardstick


@dataclass(frozen=True, kw_only=True)
class Condition:
    """Under which condition a set of logits was obtained."""

    condition: str
    """``clean``, ``attack`` or ``noise``."""
    method: str = ""
    """Attack that made the images, or whose perturbation was shuffled."""
    grey_levels: float = 0.0
    """Budget, in levels of 255."""
    storage: str = "float"
    """``float`` as computed, ``8bit`` rounded to 255 steps, ``native`` rounded to the source's own levels."""


def build(  # noqa: PLR0913 - one column each
    yardstick: Yardstick[Any],
    logits: Logits,
    targets: Targets,
    *,
    ids: Sequence[str],
    patients: Sequence[str | None],
    condition: Condition,
    success: Flags | None = None,
    eligible: Flags | None = None,
    distance: PerImage | None = None,
    queries: PerImage | None = None,
) -> pa.Table:
    """Return the rows of one condition; the columns after ``queries`` are those of the yardstick."""
    count = len(ids)
    nothing = torch.zeros(count, dtype=torch.bool)
    columns: dict[str, Any] = {
        "id": list(ids),
        "patient": pa.array(list(patients), pa.string()),
        "condition": [condition.condition] * count,
        "method": [condition.method] * count,
        "grey_levels": [condition.grey_levels] * count,
        "storage": [condition.storage] * count,
        "success": (nothing if success is None else success.cpu()).tolist(),
        "eligible": (nothing if eligible is None else eligible.cpu()).tolist(),
        "distance": (torch.zeros(count) if distance is None else distance.float().cpu()).tolist(),
        "queries": (torch.full((count,), torch.nan) if queries is None else queries.float().cpu()).tolist(),
    }
    return pa.table(columns | yardstick.columns(logits, targets))
