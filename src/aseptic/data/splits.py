"""Splits that keep every patient on one side, and the check of those that are given."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import replace

from aseptic.core.errors import InputError
from aseptic.core.rng import numpy_stream
from aseptic.data.base import Item

SHOWN = 5
"""Examples in a message."""


def check_splits(items: Sequence[Item]) -> None:
    """Refuse splits in which a patient is on more than one side.

    Raises:
        InputError: With the number of such patients and images, and examples by pseudonym.
    """
    sides: dict[str, set[str]] = defaultdict(set)
    counts: dict[str, int] = defaultdict(int)
    for item in items:
        if item.patient is not None and item.split is not None:
            sides[item.patient].add(item.split)
            counts[item.patient] += 1
    torn = sorted(patient for patient, found in sides.items() if len(found) > 1)
    if torn:
        examples = "; ".join(f"{patient} in {' and '.join(sorted(sides[patient]))}" for patient in torn[:SHOWN])
        raise InputError(
            f"a patient must be in one split only, and {len(torn)} of {len(sides)} patients "
            f"({sum(counts[patient] for patient in torn)} images) are in several: {examples}"
        )


def make_splits(
    items: Sequence[Item], *, val_share: float = 0.1, test_share: float = 0.2, seed: int = 0
) -> tuple[Item, ...]:
    """Return the items with a random split, patients whole and classes in proportion.

    Images of unknown patients count as patients of their own. Patients are dealt class by class (a patient's class is
    that of most of its images), each to the split that is furthest behind its share of the images dealt so far, so that
    patients with many images and with few are in every split; and so is a class of enough patients, twice as many as
    there are splits.

    Raises:
        InputError: A share is negative, or nothing is left for training.
    """
    shares = {"train": 1 - val_share - test_share, "val": val_share, "test": test_share}
    if min(val_share, test_share) < 0 or shares["train"] <= 0:
        raise InputError(
            f"val_share and test_share must be at least 0 and sum to less than 1, got {val_share}, {test_share}"
        )
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for rows in _patients(items):
        strata[_stratum([items[i] for i in rows])].append(rows)
    chosen: dict[int, str] = {}
    missing = dict.fromkeys((name for name, share in shares.items() if share > 0), 0.0)
    for stratum in sorted(strata):
        groups, rng = strata[stratum], numpy_stream(seed, "splits", stratum)
        # Large groups first, so that small ones can even out what they leave.
        order = sorted((groups[g] for g in rng.permutation(len(groups))), key=len, reverse=True)
        for name, found in _deal(order, shares, missing).items():
            chosen |= {i: name for rows in found for i in rows}
    return tuple(replace(item, split=chosen[i]) for i, item in enumerate(items))


def _stratum(items: Sequence[Item]) -> str:
    """Return the most frequent class of a patient; findings: whether there is any."""
    kinds = [str(any(value == 1 for value in i.label) if isinstance(i.label, tuple) else i.label) for i in items]
    return max(sorted(set(kinds)), key=kinds.count)


def _deal(
    groups: Sequence[list[int]], shares: Mapping[str, float], missing: dict[str, float]
) -> dict[str, list[list[int]]]:
    """Return the groups of each split; ``missing``, how many images each is behind its share, is carried on."""
    dealt: dict[str, list[list[int]]] = {name: [] for name in missing}
    for rows in groups:
        for name in missing:
            missing[name] += shares[name] * len(rows)
        behind = max(missing, key=lambda name: missing[name])
        dealt[behind].append(rows)
        missing[behind] -= len(rows)
    for name, found in dealt.items():
        if not found and len(groups) >= 2 * len(dealt):
            most = max(dealt, key=lambda one: len(dealt[one]))
            found.append(dealt[most].pop())
            missing[most] += len(found[0])
            missing[name] -= len(found[0])
    return dealt


def sample(items: Sequence[Item], limit: int, *, seed: int = 0) -> tuple[int, ...]:
    """Return the positions of ``limit`` random items, classes in proportion, in their own order.

    Raises:
        InputError: The limit is below 1.
    """
    if limit < 1:
        raise InputError(f"limit must be at least 1, got {limit}")
    order = _spread([[i] for i in range(len(items))], items, seed, "sample")
    return tuple(sorted(i for rows in order[:limit] for i in rows))


def draw_share(items: Sequence[Item], part: float, *, seed: int = 0) -> tuple[int, ...]:
    """Return the positions of the images of a random share of the patients, classes in proportion, in their own order.

    Images of unknown patients count as patients of their own. There is at least one patient, and a smaller share with
    the same seed is a part of a larger one.

    Raises:
        InputError: The share does not lie in (0, 1].
    """
    if not 0 < part <= 1:
        raise InputError(f"share must lie in (0, 1], got {part:g}")
    groups = _patients(items)
    order = _spread(groups, items, seed, "share")
    return tuple(sorted(i for rows in order[: max(1, round(part * len(groups)))] for i in rows))


def _patients(items: Sequence[Item]) -> list[list[int]]:
    """Return the positions of the images of each patient; images of unknown patients by themselves."""
    groups: dict[str, list[int]] = defaultdict(list)
    for i, item in enumerate(items):
        groups[item.patient or f"image {i}"].append(i)
    return [*groups.values()]


def _spread(groups: Sequence[list[int]], items: Sequence[Item], seed: int, name: str) -> list[list[int]]:
    """Return the groups in random order, such that the first of them, however many, have classes in proportion."""
    strata: dict[str, list[list[int]]] = defaultdict(list)
    for rows in groups:
        strata[_stratum([items[i] for i in rows])].append(rows)
    keys: list[tuple[float, float, list[int]]] = []
    for stratum in sorted(strata):
        rng = numpy_stream(seed, name, stratum)
        found = strata[stratum]
        keys += [
            ((rank + 0.5) / len(found), float(rng.random()), found[j])
            for rank, j in enumerate(rng.permutation(len(found)))
        ]
    return [rows for _, _, rows in sorted(keys)]
