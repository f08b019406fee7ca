"""From raw rows to arrays: what the model answered under each condition, image by image, in one order."""

from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import pyarrow as pa
from pandas import DataFrame

from aseptic.metrics.bootstrap import Measured, Resample, ratio
from aseptic.studies.yardsticks.base import Answers, Right, Yardstick

Key = tuple[str, str, float, str]
"""Condition, method, grey levels, storage."""
CLEAN: Key = ("clean", "", 0.0, "float")


@dataclass(frozen=True, kw_only=True, eq=False)
class Table:
    """All conditions over the same images in the same order."""

    yardstick: Yardstick[Any]
    ids: tuple[str, ...]
    patients: tuple[str | None, ...]
    conditions: dict[Key, Answers[Any]]

    def __getitem__(self, key: Key) -> Answers[Any]:
        return self.conditions[key]

    def attacked(self, method: str, grey: float, storage: str = "float") -> Answers[Any]:
        """Return the answers to the images that ``method`` made within ``grey`` levels."""
        return self.conditions["attack", method, grey, storage]

    def up_to(self, methods: tuple[str, ...], within: float) -> list[Answers[Any]]:
        """Return the clean answers, and those of every method at every budget up to ``within`` (balls are nested)."""
        return [self.conditions[CLEAN]] + [
            answers
            for (condition, method, grey, storage), answers in self.conditions.items()
            if condition == "attack" and method in methods and grey <= within and storage == "float"
        ]

    def worst(self, methods: tuple[str, ...], within: float) -> Right:
        """Return which decisions stay right under every method at every budget up to ``within``."""
        return reduce(np.minimum, [answers.right for answers in self.up_to(methods, within)])


def tabulate(rows: pa.Table, yardstick: Yardstick[Any]) -> Table:
    """Return the rows of an audit by condition; every condition has the images of the clean rows, in their order."""
    frame = rows.to_pandas()
    keys = ["condition", "method", "grey_levels", "storage"]
    clean = frame[frame["condition"] == "clean"]
    order = {name: place for place, name in enumerate(clean["id"])}
    conditions: dict[Key, Answers[Any]] = {}
    for key, part in frame.groupby(keys, sort=False):
        condition, method, grey, storage = key
        sorted_part = part.iloc[part["id"].map(order).argsort(kind="stable")]
        conditions[str(condition), str(method), float(grey), str(storage)] = answers_of(sorted_part, yardstick)
    return Table(
        yardstick=yardstick,
        ids=tuple(clean["id"]),
        patients=tuple(name if isinstance(name, str) else None for name in clean["patient"]),
        conditions=conditions,
    )


def answers_of(part: DataFrame, yardstick: Yardstick[Any]) -> Answers[Any]:
    """Return the rows of one condition as the yardstick reads them."""
    values, right = yardstick.read(part)
    return Answers(
        found=values,
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
