"""Average precision of detections, as COCO defines it, and recall at so many false positives, with intervals.

Paper: Lin et al., 2014, https://arxiv.org/abs/1405.0312, and its evaluation server: detections of one class are
matched image by image, the most likely first, each to the object that it overlaps most among those still free;
precision is read at 101 recalls. Egan et al., 1961, for the free-response recall.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.types import Number
from aseptic.metrics.bootstrap import SHARE, Measured, Resample, average, not_measured
from aseptic.metrics.intervals import UNKNOWN, Draws, all_equal, percentile

Rows = Float[np.ndarray, "_ _"]
"""Label, left, top, right, bottom of each object; of detections, the score besides."""
Weights = Float[np.ndarray, "draw column"]
"""How often each image, or what belongs to it, appears in each draw."""
Statistic = Callable[[Weights], Draws]
"""Weights of the images to one number for each draw."""
IOUS = tuple(round(0.5 + 0.05 * step, 2) for step in range(10))
"""Overlaps from which a detection counts as right: 0.5 to 0.95."""
RECALLS = np.linspace(0.0, 1.0, 101)
"""Where precision is read."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Matches:
    """All detections of one class over all images, the most likely first."""

    scores: Float[np.ndarray, " detection"]
    """How likely each is."""
    image: Int[np.ndarray, " detection"]
    """Which image each is in."""
    hit: Bool[np.ndarray, "overlap detection"]
    """Whether each was matched to an object, for each overlap that was asked for."""
    objects: Int[np.ndarray, " image"]
    """Objects of the class in each image."""


def overlap(first: Rows, second: Rows) -> Float[np.ndarray, "_ _"]:
    """Return the intersection over union of boxes ``[row, 4]``; 0 where both are empty.

    >>> overlap(np.array([[0.0, 0.0, 2.0, 2.0]]), np.array([[1.0, 0.0, 3.0, 2.0]])).round(3)
    array([[0.333]])
    """
    low = np.maximum(first[:, None, :2], second[None, :, :2])
    high = np.minimum(first[:, None, 2:], second[None, :, 2:])
    both = np.clip(high - low, 0, None).prod(2)
    areas = [np.clip(one[:, 2:] - one[:, :2], 0, None).prod(1) for one in (first, second)]
    union = areas[0][:, None] + areas[1][None] - both
    shared: Rows = np.divide(both, union, out=np.zeros_like(both), where=union > 0)
    return shared


def match(
    found: Sequence[Rows], truth: Sequence[Rows], outputs: int, ious: Sequence[float] = IOUS
) -> tuple[Matches, ...]:
    """Return the matches of every class.

    Args:
        found: Detections of each image: label, left, top, right, bottom, score.
        truth: Objects of each image: label, left, top, right, bottom. Rows with a label below 0 are none, in both.
        outputs: Number of classes.
        ious: Overlaps from which a detection counts as right.

    Raises:
        InputError: There are not as many images of either, or a score is not a number.
    """
    if len(found) != len(truth):
        raise InputError(f"detections must be given for each of {len(truth)} images, got {len(found)}")
    if any(np.isnan(one[:, 5]).any() for one in found):
        raise InputError("scores must be numbers, got NaN")
    return tuple(_match(found, truth, label, np.asarray(ious)) for label in range(outputs))


def _match(found: Sequence[Rows], truth: Sequence[Rows], label: int, ious: Float[np.ndarray, " overlap"]) -> Matches:
    scores, image, hits = [np.zeros(0)], [np.zeros(0, dtype=np.int64)], [np.zeros((len(ious), 0), dtype=bool)]
    objects = np.zeros(len(truth), dtype=np.int64)
    for row, (detections, wanted) in enumerate(zip(found, truth, strict=True)):
        mine = detections[detections[:, 0] == label]
        mine = mine[np.argsort(-mine[:, 5], kind="stable")]
        own = wanted[wanted[:, 0] == label]
        objects[row] = len(own)
        scores.append(mine[:, 5])
        image.append(np.full(len(mine), row))
        hits.append(_greedy(overlap(mine[:, 1:5], own[:, 1:5]), ious))
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    return Matches(
        scores=every[order],
        image=np.concatenate(image)[order],
        hit=np.concatenate(hits, axis=1)[:, order],
        objects=objects,
    )


def _greedy(
    shared: Float[np.ndarray, "detection object"], ious: Float[np.ndarray, " overlap"]
) -> Bool[np.ndarray, "overlap detection"]:
    """Match each detection, in order, to the free object that it overlaps most; of equals, the last (as COCO does)."""
    detections, objects = shared.shape
    hit = np.zeros((len(ious), detections), dtype=bool)
    if not objects:
        return hit
    for number, least in enumerate(ious):
        free = np.ones(objects, dtype=bool)
        for row in range(detections):
            values = np.where(free, shared[row], -1.0)[::-1]
            best = objects - 1 - int(values.argmax())
            if free[best] and shared[row, best] >= min(least, 1 - 1e-10):
                hit[number, row], free[best] = True, False
    return hit


def average_precision(matches: Matches, sample: Resample) -> Measured:
    """Measure the average precision of one class, averaged over the overlaps that it was matched at.

    Not measured where no image has an object of the class. The interval is the percentile bootstrap's, by patient.
    """
    return _measure(matches, sample, lambda weights: _precision(matches, weights))


def free_response_recall(matches: Sequence[Matches], sample: Resample, *, per_image: Number) -> Measured:
    """Measure the share of objects found at the threshold with at most ``per_image`` false positives an image.

    All classes share the threshold; each detection counts for its own class, at the first overlap that it was matched
    at. Each draw has its own threshold.

    Raises:
        InputError: The number of false positives is not positive.
    """
    if not (math.isfinite(per_image) and per_image > 0):
        raise InputError(f"per_image must be a positive number of false positives, got {per_image!r}")
    scores = np.concatenate([one.scores for one in matches])
    order = np.argsort(-scores, kind="stable")
    pooled = Matches(
        scores=scores[order],
        image=np.concatenate([one.image for one in matches])[order],
        hit=np.concatenate([one.hit[:1] for one in matches], axis=1)[:, order],
        objects=np.sum([one.objects for one in matches], axis=0),
    )
    return _measure(pooled, sample, lambda weights: _recall(pooled, weights, per_image))


def mean_average_precision(matches: Sequence[Matches], sample: Resample) -> Measured:
    """Measure the mean over the classes that have objects."""
    parts = [average_precision(one, sample) for one in matches]
    return average(parts, sample, len(matches[0].objects) if matches else 0)


def summarise_detections(
    found: Sequence[Rows], truth: Sequence[Rows], classes: Sequence[str], sample: Resample
) -> Mapping[str, Measured]:
    """Measure mAP at 0.5 and over 0.5 to 0.95, the AP of every class, and recall at one false positive an image."""
    every = match(found, truth, len(classes))
    half = [Matches(scores=one.scores, image=one.image, hit=one.hit[:1], objects=one.objects) for one in every]
    measured = {
        "map50": mean_average_precision(half, sample),
        "map": mean_average_precision(every, sample),
        "recall_at_1fp": free_response_recall(half, sample, per_image=1.0),
    }
    return measured | {f"ap50:{name}": average_precision(one, sample) for name, one in zip(classes, half, strict=True)}


def _measure(matches: Matches, sample: Resample, statistic: Statistic) -> Measured:
    if not matches.objects.sum():
        return not_measured(sample)
    images = np.ones(len(matches.objects), dtype=bool)
    value, draws = float(statistic(np.ones((1, len(images))))[0]), statistic(sample.weights.astype(float))
    known, patients = draws[~np.isnan(draws)], sample.patients(images)
    ends = UNKNOWN if patients == 1 else percentile(draws)
    if patients > 1 and len(known) and np.ptp(known) == 0:
        ends = all_equal(value, patients, SHARE)
    estimate = Estimate(value=value, low=ends[0], high=ends[1], n=len(images))
    return Measured(estimate=estimate, draws=draws, bounds=SHARE)


def _precision(matches: Matches, weights: Weights) -> Draws:
    """Return the average precision on each draw."""
    each = weights[:, matches.image]
    total, seen = weights @ matches.objects, each.cumsum(1)
    mean: Draws = np.mean([_area(each[:, hit], seen[:, hit], total) for hit in matches.hit], axis=0)
    return mean


def _area(added: Weights, seen: Weights, total: Draws) -> Draws:
    """Return the mean of the best precision at or beyond each of `RECALLS`; NaN without objects.

    Args:
        added: How often each right detection counts, the most likely first.
        seen: Detections up to it, right or not.
        total: Objects.
    """
    right = added.cumsum(1)
    precision = np.divide(right, seen, out=np.zeros_like(right), where=seen > 0)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    known = np.where(total > 0, total, np.nan)
    reached = np.searchsorted(RECALLS, right / known[:, None], side="right")
    area: Draws = (np.diff(reached, axis=1, prepend=0) * best).sum(1) / len(RECALLS)
    return np.where(total > 0, area, np.nan)


def _recall(matches: Matches, weights: Weights, per_image: Number) -> Draws:
    """Return the recall on each draw, cut where the false positives are no more than allowed; equal scores together."""
    each, hit = weights[:, matches.image], matches.hit[0]
    right, wrong = (each * hit).cumsum(1), (each * ~hit).cumsum(1)
    last = np.append(matches.scores[1:] != matches.scores[:-1], True)[: len(hit)]
    allowed = last & (wrong <= per_image * weights.sum(1, keepdims=True) + 1e-9)
    reached = np.where(allowed, right, 0.0).max(1, initial=0.0)
    total = weights @ matches.objects
    recall: Draws = np.divide(reached, total, out=np.full(len(total), np.nan), where=total > 0)
    return recall
