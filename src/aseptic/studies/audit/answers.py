"""From raw rows to arrays: what the model answered under each condition, image by image, in one order."""

from dataclasses import dataclass
from functools import reduce

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Float
from pandas import DataFrame

from aseptic.metrics.bootstrap import Measured, Resample, ratio
from aseptic.metrics.summary import Predictions

Key = tuple[str, str, float, str]
"""Condition, method, grey levels, storage."""
CLEAN: Key = ("clean", "", 0.0, "float")
Right = Float[np.ndarray, "image output"]
"""1 where a decision is right, 0 where wrong, NaN where the truth is unknown; one column for a multi-class model."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers:
    """Everything that was answered under one condition."""

    predictions: Predictions
    """Scores, decisions and truth."""
    right: Right
    """Which decisions are right."""
    success: Bool[np.ndarray, " image"]
    """Whether the attacker's goal is reached."""
    eligible: Bool[np.ndarray, " image"]
    """Whether the goal makes sense for the image."""
    queries: Float[np.ndarray, " image"]
    """Questions until the goal was first reached; inf where it never was, NaN where none was asked."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All conditions over the same images in the same order."""

    task: str
    classes: tuple[str, ...]
    ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    conditions: dict[Key, Answers]

    def __getitem__(self, key: Key) -> Answers:
        return self.conditions[key]

    def attacked(self, method: str, grey: float, storage: str = "float") -> Answers:
        """Return the answers to the images that ``method`` made within ``grey`` levels."""
        return self.conditions["attack", method, grey, storage]

    def worst(self, methods: tuple[str, ...], within: float) -> Right:
        """Return which decisions stay right under every method at every budget up to ``within`` (balls are nested)."""
        kept = [
            answers.right
            for (condition, method, grey, storage), answers in self.conditions.items()
            if condition == "attack" and method in methods and grey <= within and storage == "float"
        ]
        return reduce(np.minimum, kept, self.conditions[CLEAN].right)


def tabulate(rows: pa.Table, task: str, classes: tuple[str, ...]) -> Table:
    """Return the rows of an audit by condition; every condition has the images of the clean rows, in their order."""
    frame = rows.to_pandas()
    keys = ["condition", "method", "grey_levels", "storage"]
    clean = frame[frame["condition"] == "clean"]
    order = {name: place for place, name in enumerate(clean["id"])}
    conditions: dict[Key, Answers] = {}
    for key, part in frame.groupby(keys, sort=False):
        condition, method, grey, storage = key
        sorted_part = part.iloc[part["id"].map(order).argsort(kind="stable")]
        conditions[str(condition), str(method), float(grey), str(storage)] = _answers(sorted_part, task, classes)
    return Table(
        task=task,
        classes=classes,
        ids=tuple(clean["id"]),
        patients=tuple(name if isinstance(name, str) else None for name in clean["patient"]),
        conditions=conditions,
    )


def _answers(part: DataFrame, task: str, classes: tuple[str, ...]) -> Answers:
    scores, decisions, targets = (
        part[[f"{kind}:{name}" for name in classes]].to_numpy(dtype=float) for kind in ("score", "decision", "target")
    )
    if task == "multiclass":
        decided, true = decisions.argmax(1), targets.argmax(1)
        predictions = Predictions(task=task, classes=classes, scores=scores, decisions=decided, targets=true)
        right = (decided == true).astype(float)[:, None]
    else:
        predictions = Predictions(task=task, classes=classes, scores=scores, decisions=decisions, targets=targets)
        right = np.where(np.isnan(targets), np.nan, (decisions == targets).astype(float))
    return Answers(
        predictions=predictions,
        right=right,
        success=part["success"].to_numpy(dtype=bool),
        eligible=part["eligible"].to_numpy(dtype=bool),
        queries=part["queries"].to_numpy(dtype=float),
    )


def share(numerator: Right, denominator: Right, sample: Resample) -> Measured:
    """Measure how many of the decisions in ``denominator`` (1 or 0 each) are also in ``numerator``, image by image."""
    top, bottom = np.nansum(numerator * denominator, 1), np.nansum(denominator, 1)
    return ratio(top, bottom, sample, (0.0, 1.0))


def turned(clean: Right, after: Right, sample: Resample) -> Measured:
    """Measure the share of the right decisions that are wrong afterwards."""
    return share(1 - after, np.nan_to_num(clean), sample)


def restored(clean: Right, attacked: Right, after: Right, sample: Resample) -> Measured:
    """Measure the share of the decisions that an attack turned wrong and that are still wrong after storage."""
    fell = np.nan_to_num(clean * (1 - attacked))
    return share(1 - after, fell, sample)
