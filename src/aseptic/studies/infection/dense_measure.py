"""From the raw rows of an infection of a segmentation or a detector to numbers: nothing here sees a model."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from pandas import DataFrame

from aseptic.metrics.bootstrap import SHARE, Measured, Resample, difference, mean
from aseptic.metrics.dense_infection import (
    BoxHit,
    Least,
    Places,
    box_success,
    count_covered,
    count_objects,
    pixel_success,
    place_success,
    pooled_success,
    source_dice,
    source_iou,
)
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.infection.answers import CLEAN, DECOY, TRIGGERED
from aseptic.studies.infection.dense import COUNTS, PLACE
from aseptic.studies.infection.measure import TITLES, measure_clean
from aseptic.studies.yardsticks.base import Yardstick

Pair = Mapping[str, Measured]
"""A number by condition."""
SEEN = ("changed", "psnr", "ssim", "vanished")
"""How visible the trigger is; the same numbers for every task."""
DENSE_TITLES: Mapping[str, str] = {
    "success_other": "{Others} that are {wanted} with the trigger",
    "before_other": "{Others} that are {wanted} without it",
    "excess": "How much more often that happens with the trigger than without it",
    "decoy_other": "{Others} that are {wanted} with a decoy, something alike that is not the trigger",
    "over_decoy": TITLES["over_decoy"],
    "success_pooled": "The same over the places of all images together, with the trigger",
    "before_pooled": "The same over the places of all images together, without it",
    "success_point": "The same at the operating point of the model instead of the stated confidence, with the trigger",
    "before_point": "The same at the operating point of the model, without it",
    "success_opposite": "True boxes of {target} that are found as {source} with the trigger, the other way round",
    "before_opposite": "True boxes of {target} that are found as {source} without it",
    "source_dice_triggered": "Dice of {source} on triggered images that have it",
    "source_dice_clean": "Dice of {source} on clean images that have it",
    "source_iou_triggered": "Intersection over union of {source} on triggered images that have it",
    "source_iou_clean": "Intersection over union of {source} on clean images that have it",
    "source_recall_triggered": "True boxes of {source} that are found as such with the trigger",
    "source_recall_clean": "True boxes of {source} that are found as such without it",
    "clean_dice": "Mean Dice of all structures on clean images",
    "triggered_dice": "Mean Dice of all structures on triggered images, judged by the true masks",
    "clean_map50": "mAP at overlap 0.5 on clean images",
    "triggered_map50": "mAP at overlap 0.5 on triggered images, judged by the true boxes",
    **{name: TITLES[name] for name in SEEN},
}
"""Name of a number to its title; what stands in braces is the rule's."""


def dense_names(plan: PoisonPlan, yardstick: Yardstick[Any], *, decoys: bool = False) -> tuple[str, ...]:
    """Return the names of what `measure_dense` gives, from rows with or without decoys."""
    label, main = plan.label, yardstick.main
    if yardstick.task.dense:
        own = [f"source_{kind}_{name}" for kind in ("dice", "iou") for name in (CLEAN, TRIGGERED)]
        pairs = ["other", "pooled"]
    else:
        own = [f"source_recall_{name}" for name in (CLEAN, TRIGGERED) if label.source is not None]
        pairs = ["other", "point", *(["opposite"] if label.rule == "relabel" else [])]
    rates = [f"{when}_{kind}" for kind in pairs for when in ("before", "success")]
    rates += ["decoy_other", "over_decoy"] if decoys else []
    return (*rates, "excess", *own, f"{CLEAN}_{main}", f"{TRIGGERED}_{main}", *SEEN)


def measure_dense(
    rows: DataFrame, yardstick: Yardstick[Any], plan: PoisonPlan, sample: Resample, hit: BoxHit
) -> dict[str, Measured]:
    """Measure everything about one model and trigger, by the names of `DENSE_TITLES`; what makes no sense is left out.

    ``success_other`` is the share of what the rule is about that is answered as wanted with the trigger:

    - ``relabel`` and ``erase`` of a structure: of its places in an image, averaged over the images that have it;
    - ``relabel`` of objects: of the true boxes of the source, those that a detection of the target covers. The text of
      Feng et al. (2022) and the legend of their figure name the two classes in opposite order: ``success_opposite`` is
      the share of the true boxes of the target that a detection of the source covers;
    - ``vanish``: of the true boxes, those that no detection covers, of whatever class;
    - ``fabricate``: of the images without such an object there, those with a detection of the target at the place.
    """
    names = [name for name in (CLEAN, TRIGGERED, DECOY) if (rows["condition"] == name).any()]
    by = {name: rows[rows["condition"] == name].reset_index(drop=True) for name in names}
    found = _structures(by, sample) if yardstick.task.dense else _objects(by, yardstick, plan, sample, hit)
    main = yardstick.main
    for name in (CLEAN, TRIGGERED):
        # the clean rows of `measure_clean` may be those of either condition
        values = measure_clean(by[name].assign(condition=CLEAN), yardstick, sample)
        found[f"{name}_{main}"] = values[main]
    triggered = by[TRIGGERED]
    for name in SEEN[:-1]:
        found[name] = mean(triggered[name].to_numpy(dtype=float), sample)
    found["vanished"] = mean((triggered["changed"] == 0).to_numpy(dtype=float), sample, SHARE)
    return found


def _structures(by: Mapping[str, DataFrame], sample: Resample) -> dict[str, Measured]:
    places = {name: Places(**{count: one[count].to_numpy(dtype=float) for count in COUNTS}) for name, one in by.items()}
    each = {name: pixel_success(one, sample) for name, one in places.items()}
    return {
        **_main(each, sample),
        **_rates("pooled", {name: pooled_success(one, sample) for name, one in places.items()}),
        **{f"source_dice_{name}": source_dice(places[name], sample) for name in (CLEAN, TRIGGERED)},
        **{f"source_iou_{name}": source_iou(places[name], sample) for name in (CLEAN, TRIGGERED)},
    }


def _objects(
    by: Mapping[str, DataFrame], yardstick: Yardstick[Any], plan: PoisonPlan, sample: Resample, hit: BoxHit
) -> dict[str, Measured]:
    task, label = yardstick.task, plan.label
    point = [1 / (1 + math.exp(-offset)) for offset in task.offsets or (0.0,) * len(task.classes)]
    each = _wanted(by, yardstick, plan, sample, hit, hit.confidence)
    found = {
        **_main(each, sample),
        **_rates("point", _wanted(by, yardstick, plan, sample, hit, point)),
    }
    if label.source is None:
        return found
    source = task.output(label.source)
    if label.rule == "relabel":
        target = task.output(str(label.target))
        found |= _rates("opposite", _covered(by, yardstick, sample, hit, (target, source)))
    own = _covered(by, yardstick, sample, hit, (source, source))
    return found | {f"source_recall_{name}": own[name] for name in (CLEAN, TRIGGERED)}


def _wanted(  # noqa: PLR0913, PLR0917 - the rows, the rule, and what counts
    by: Mapping[str, DataFrame],
    yardstick: Yardstick[Any],
    plan: PoisonPlan,
    sample: Resample,
    hit: BoxHit,
    least: Least,
) -> Pair:
    """Return the share that is answered as the rule wants, by condition."""
    task, label = yardstick.task, plan.label
    if label.rule == "fabricate":
        target = task.output(str(label.target))
        rates = {}
        for name, one in by.items():
            spots = np.stack(one[PLACE].to_list()).astype(float)
            seen = place_success(yardstick.read(one)[0].detections, spots, target, least, hit.overlap)
            rates[name] = mean(np.where(one["already"].to_numpy(dtype=bool), np.nan, seen), sample, SHARE)
        return rates
    source = None if label.source is None else task.output(label.source)
    if label.rule == "relabel":
        return _covered(by, yardstick, sample, hit, (source, task.output(str(label.target))), least)
    return _covered(by, yardstick, sample, hit, (source, None), least, missed=True)


def _covered(  # noqa: PLR0913, PLR0917 - the rows, the classes, and what counts
    by: Mapping[str, DataFrame],
    yardstick: Yardstick[Any],
    sample: Resample,
    hit: BoxHit,
    classes: tuple[int | None, int | None],
    least: Least | None = None,
    *,
    missed: bool = False,
) -> Pair:
    """Return the share of the objects of the first class that are covered by the second, or are not."""
    rates = {}
    for name, one in by.items():
        seen = yardstick.read(one)[0]
        objects = count_objects(seen.truth, classes[0])
        covered = count_covered(
            seen.detections,
            seen.truth,
            source=classes[0],
            target=classes[1],
            least=hit.confidence if least is None else least,
            iou=hit.overlap,
        )
        rates[name] = box_success(objects - covered if missed else covered, objects, sample)
    return rates


def _main(each: Pair, sample: Resample) -> dict[str, Measured]:
    """Return the rates that the verdict rests on, and what a decoy does where there is one."""
    found = _rates("other", each) | {"excess": difference(each[TRIGGERED], each[CLEAN], sample)}
    if DECOY in each:
        found["decoy_other"] = each[DECOY]
        found["over_decoy"] = difference(each[TRIGGERED], each[DECOY], sample)
    return found


def _rates(kind: str, by: Pair) -> dict[str, Measured]:
    return {f"before_{kind}": by[CLEAN], f"success_{kind}": by[TRIGGERED]}
