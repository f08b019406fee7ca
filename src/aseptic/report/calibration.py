"""Calibration from the raw rows: how often the model is right, against how sure it says it is."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

BINS = 10
Z = 1.959964


@dataclass(frozen=True, kw_only=True)
class Bin:
    """One bin of stated probability."""

    stated: float
    """Mean probability that the model stated."""
    observed: float
    """Share that was true."""
    low: float
    """Lower end of the 95 % Wilson interval of ``observed``."""
    high: float
    """Upper end of the 95 % Wilson interval of ``observed``."""
    n: int
    """Number of decisions in the bin."""


def reliability(rows: Sequence[Mapping[str, Any]], task: str, classes: Sequence[str]) -> list[Bin]:
    """Return the bins that hold any decision.

    A multi-class row gives one pair, the probability of the most probable class and whether it is the true one; a
    multi-label row gives one pair for every finding that is known. Empty where the rows hold no probabilities.

    Args:
        rows: Rows with columns ``score:CLASS`` (probabilities) and ``target:CLASS`` (1, 0, or NaN for unknown).
        task: ``multiclass`` or ``multilabel``.
        classes: Names of the outputs.
    """
    stated = _multilabel(rows, classes) if task == "multilabel" else _multiclass(rows, classes)
    pairs = list(stated)
    if any(not 0 <= probability <= 1 for probability, _ in pairs):
        return []
    bins: list[list[tuple[float, bool]]] = [[] for _ in range(BINS)]
    for pair in pairs:
        bins[min(int(pair[0] * BINS), BINS - 1)].append(pair)
    return [_bin(members) for members in bins if members]


def _bin(members: list[tuple[float, bool]]) -> Bin:
    n, true = len(members), sum(hit for _, hit in members)
    share, spread = true / n, Z * Z / n
    centre = (share + spread / 2) / (1 + spread)
    half = Z * math.sqrt(share * (1 - share) / n + spread / (4 * n)) / (1 + spread)
    stated = math.fsum(probability for probability, _ in members) / n
    low, high = max(0.0, min(share, centre - half)), min(1.0, max(share, centre + half))
    return Bin(stated=stated, observed=share, low=low, high=high, n=n)


def _values(row: Mapping[str, Any], kind: str, classes: Sequence[str]) -> list[float]:
    found = [row.get(f"{kind}:{name}") for name in classes]
    return [math.nan if value is None else float(value) for value in found]


def _multiclass(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Iterator[tuple[float, bool]]:
    for row in rows:
        scores, truths = _values(row, "score", classes), _values(row, "target", classes)
        if scores and not any(map(math.isnan, (*scores, *truths))):
            top = max(range(len(scores)), key=scores.__getitem__)
            yield scores[top], truths[top] == 1


def _multilabel(rows: Sequence[Mapping[str, Any]], classes: Sequence[str]) -> Iterator[tuple[float, bool]]:
    for row in rows:
        for score, truth in zip(_values(row, "score", classes), _values(row, "target", classes), strict=True):
            if not math.isnan(truth) and not math.isnan(score):
                yield score, truth == 1
