"""Sets that are known to be clean: what a scanner says of parts of them, as they are and poisoned on purpose."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from aseptic.core.errors import InputError
from aseptic.core.rng import derive
from aseptic.data.imageset import ImageSet
from aseptic.data.matching import match_classes
from aseptic.data.splits import draw_share
from aseptic.engine.cells import Job
from aseptic.poisoning.plan import make_plan
from aseptic.poisoning.poison import Poisoned, poison
from aseptic.scanners.sets.base import Evidence
from aseptic.scanners.sets.catalogue import make_set_scanner

COMPARE = "aseptic.studies.scan.clean_sets:compare"
SEEDS = 2**31
"""Seeds of plans lie below it."""
MOST = 0.5
"""Share of the images of a label in a clean set that one part of it holds, at most."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Clean:
    """Clean sets, and how large the parts of them are."""

    sets: tuple[ImageSet, ...]
    """The sets, as the network is fed them."""
    sizes: Mapping[str, int]
    """Label to the images with it in a part; of findings, all images together."""
    overlap: float
    """Share of a clean set that a part holds; 0 where each part is a set of its own."""
    share: float
    """Share of the suspected set that is compared with them."""


def clean_like(data: ImageSet, sets: Sequence[ImageSet], parts: int) -> Clean:
    """Return how sets that are known to be clean can be compared with a suspected one.

    Parts have the labels in the proportions of the suspected set, and its size where there are enough clean images;
    else a part of the suspected set is compared. Where there is a set for every part, none overlap.

    Args:
        data: The suspected set, as the network is fed it.
        sets: The clean ones.
        parts: How many parts are drawn.

    Raises:
        InputError: A set has other labels, none of some label, or images of the suspected set.
    """
    alike = tuple(_alike(one, data) for one in sets)
    many, most = _counts(data), 1.0 if len(sets) >= parts else MOST
    known = {data.source.digest(item) for item in data.items}
    for one in alike:
        counts = _counts(one)
        if lacking := [label for label, count in many.items() if count and not counts[label]]:
            raise InputError(f"clean sets must have images of every label, got none of {', '.join(lacking)}")
        if shared := sum(one.source.digest(item) in known for item in one.items):
            raise InputError(f"clean sets must have no image of the suspected one, got {shared} that it has")
    share = min([1.0, *(most * _counts(one)[label] / count for one in alike for label, count in many.items() if count)])
    sizes = {label: round(share * count) for label, count in many.items()}
    held = [sizes[label] / _counts(one)[label] for one in alike for label, count in many.items() if count]
    return Clean(sets=alike, sizes=sizes, overlap=0.0 if most == 1 else max(held), share=share)


def part(data: ImageSet, sizes: Mapping[str, int], seed: int) -> list[int]:
    """Return the positions of random images of a set, about as many of each label as asked, patients whole."""
    rows = []
    for label, own in _strata(data).items():
        if own and sizes[label]:
            items = [data.items[row] for row in own]
            taken = draw_share(items, min(1.0, sizes[label] / len(own)), seed=derive(seed, label))
            rows += [own[place] for place in taken]
    return sorted(rows)


def compare(job: Job) -> Mapping[str, Any]:
    """Cell: a scanner's statistic of the suspected set, of parts of clean ones, and of those with poison in them."""
    config, clock = job.config, time.perf_counter()
    data, clean, model = (job.context[name] for name in ("data", "clean", "model"))
    scanner, sizes, seed = make_set_scanner(**config["scanner"]), config["sizes"], config["seed"]
    read = partial(scanner.collect, subject=model, batch_size=config["batch_size"])
    evidence = [read(one) for one in clean]
    found = []
    for number in range(config["parts"]):
        which = number % len(clean)
        rows = part(clean[which], sizes, derive(seed, "clean part", str(number)))
        found.append(scanner.judge(_few(evidence[which], rows), seed=seed).statistic)
    infected: dict[str, list[float]] = {}
    for kind, text in config["plans"].items():
        infected[kind] = []
        for number in range(config["infected"]):
            own, which = derive(seed, "poisoned part", kind, str(number)), number % len(clean)
            rows = part(clean[which], sizes, own)
            made = poison(clean[which].select(rows), make_plan(**{**text, "seed": own % SEEDS}))
            known = _few(evidence[which], rows)
            infected[kind].append(scanner.judge(poisoned_evidence(made, known, read), seed=seed).statistic)
    statistic = job.inputs["look"].value["statistic"]
    if config["share"] < 1:
        few = data.select(part(data, sizes, derive(seed, "suspected part")))
        statistic = scanner.judge(read(few), seed=seed).statistic
    return {
        "statistic": statistic,
        "clean": found,
        "infected": infected,
        "overlap": config["overlap"],
        "share": config["share"],
        "seconds": time.perf_counter() - clock,
    }


def poisoned_evidence(made: Poisoned, known: Evidence, read: Callable[[ImageSet], Evidence]) -> Evidence:
    """Return what a scanner sees of a poisoned set, reading only the images that were changed.

    Args:
        made: The poisoned set.
        known: What it sees of the clean set that was poisoned.
        read: Reads a set.
    """
    rows = known.rows[[mark.row for mark in made.marks]].clone()
    if changed := [place for place, mark in enumerate(made.marks) if mark.role != "clean"]:
        rows[changed] = read(made.data.select(changed)).rows
    return Evidence(rows=rows, targets=made.data.targets, classes=made.data.classes)


def _few(evidence: Evidence, rows: Sequence[int]) -> Evidence:
    kept = list(rows)
    return Evidence(rows=evidence.rows[kept], targets=evidence.targets[kept], classes=evidence.classes)


def _alike(clean: ImageSet, data: ImageSet) -> ImageSet:
    """Return a clean set as the suspected one is fed, and without splits, so that all of it can be poisoned."""
    if clean.task != data.task:
        raise InputError(f"clean sets must be {data.task} as the suspected one is, got {clean.task or 'no labels'}")
    fed = match_classes(clean, data.classes).fit(data.size, data.channels)
    return replace(fed, items=tuple(replace(item, split=None) for item in fed.items))


def _strata(data: ImageSet) -> dict[str, list[int]]:
    """Return the positions of the images with each label; of findings, those of all."""
    if data.task != "multiclass":
        return {"": list(range(len(data)))}
    return {
        name: [row for row, item in enumerate(data.items) if item.label == place]
        for place, name in enumerate(data.classes)
    }


def _counts(data: ImageSet) -> dict[str, int]:
    return {label: len(rows) for label, rows in _strata(data).items()}
