"""What a trigger does to places and boxes: how much of a structure, and how many objects, are answered as wanted.

Paper: Feng et al. (2022), https://arxiv.org/abs/2112.01148 (FIBA). Its text defines, for segmentation, the attack
success rate over the places of a structure and, for detection, over the boxes of a class.
Departs from it: the paper does not say which overlap and confidence make a box a hit, so both are stated; and the same
rate without the trigger is measured, because an honest model confuses structures and misses objects, too.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.metrics.bootstrap import SHARE, Column, Measured, Resample, mean, ratio
from aseptic.metrics.detection import Rows, overlap

Labels = Int[np.ndarray, "..."]
"""The class of every place of every image, ``[image, *space]``."""
Least = Number | Sequence[Number]
"""Least score of a detection that counts, for all classes or for each."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Places:
    """Places of one structure in each image."""

    there: Column
    """Places that are of the structure in truth."""
    found: Column
    """Places that are answered as the structure."""
    both: Column
    """Places that are both."""
    won: Column
    """Places that are of the structure in truth and answered as the attacker wants."""


@dataclass(frozen=True, kw_only=True)
class BoxHit:
    """When a detection counts, and when it is one of an object."""

    overlap: Number = 0.5
    """Least intersection over union."""
    confidence: Number = 0.5
    """Least score."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if not 0 < self.overlap <= 1:
            raise InputError(f"overlap must lie in (0, 1], got {self.overlap:g}")
        if not 0 <= self.confidence <= 1:
            raise InputError(f"confidence must lie in [0, 1], got {self.confidence:g}")


def count_places(found: Labels, truth: Labels, source: int, wanted: int) -> Places:
    """Count the places of a structure.

    Args:
        found: Answered classes.
        truth: True classes.
        source: The structure.
        wanted: Class that the attacker wants its places to be answered as; 0 erases it.

    Raises:
        InputError: The shapes differ.
    """
    if found.shape != truth.shape:
        raise InputError(f"answers must have the shape of the truth {list(truth.shape)}, got {list(found.shape)}")
    there, seen, won = truth == source, found == source, found == wanted

    def count(places: Bool[np.ndarray, "image *space"]) -> Column:
        total: Column = places.reshape(len(places), -1).sum(1).astype(float)
        return total

    return Places(there=count(there), found=count(seen), both=count(there & seen), won=count(there & won))


def pixel_success(places: Places, sample: Resample) -> Measured:
    r"""Measure :math:`|P_t \cap G_s| / |G_s|` of each image that has the structure, averaged over these images.

    ``G_s`` are the places of the source in truth, ``P_t`` those answered as the target. Each image counts the same,
    however large its structure is.
    """
    return mean(_each(places.won, places.there), sample, SHARE)


def pooled_success(places: Places, sample: Resample) -> Measured:
    """Measure the same share over the places of all images together, where large structures count more."""
    return ratio(places.won, places.there, sample, SHARE)


def source_iou(places: Places, sample: Resample) -> Measured:
    r"""Measure :math:`|P_s \cap G_s| / |P_s \cup G_s|` of each image that has the structure, averaged over these."""
    union = places.there + places.found - places.both
    return mean(np.where(places.there > 0, _each(places.both, union), np.nan), sample, SHARE)


def source_dice(places: Places, sample: Resample) -> Measured:
    r"""Measure :math:`2 |P_s \cap G_s| / (|P_s| + |G_s|)` of each image that has the structure, averaged over these."""
    sizes = places.there + places.found
    return mean(np.where(places.there > 0, _each(2 * places.both, sizes), np.nan), sample, SHARE)


def _each(numerator: Column, denominator: Column) -> Column:
    shares: Column = np.divide(numerator, denominator, out=np.full(len(numerator), np.nan), where=denominator > 0)
    return shares


def count_objects(truth: Sequence[Rows], source: int | None) -> Column:
    """Return how many objects of a class, or of all for None, each image has."""
    return np.array([float(len(_of(one, source))) for one in truth])


def count_covered(  # noqa: PLR0913 - two lists of boxes, their classes, and what counts
    found: Sequence[Rows],
    truth: Sequence[Rows],
    *,
    source: int | None,
    target: int | None,
    least: Least,
    iou: Number,
) -> Column:
    """Return how many objects of a class in each image are covered by a detection of another.

    One detection may cover several objects, and several one: nothing is matched one to one.

    Args:
        found: Detections of each image: label, left, top, right, bottom, score.
        truth: Objects of each image: label, left, top, right, bottom. Rows with a label below 0 are none, in both.
        source: Class of the objects; None for all.
        target: Class of the detections; None for any.
        least: Least score of a detection that counts.
        iou: Least overlap of a detection that covers.

    Raises:
        InputError: There are not as many images of either.
    """
    if len(found) != len(truth):
        raise InputError(f"detections must be given for each of {len(truth)} images, got {len(found)}")
    limit = min(float(iou), 1 - 1e-10)  # as COCO, so that equal boxes are equal
    counts = []
    for detections, objects in zip(found, truth, strict=True):
        counting, own = _of(_likely(detections, least), target), _of(objects, source)
        counts.append(float((overlap(own[:, 1:5], counting[:, 1:5]) >= limit).any(1).sum()))
    return np.array(counts)


def box_success(covered: Column, objects: Column, sample: Resample) -> Measured:
    """Measure the share of the objects of all images that are answered as wanted."""
    return ratio(covered, objects, sample, SHARE)


def place_success(found: Sequence[Rows], place: Rows, target: int, least: Least, iou: Number) -> Column:
    """Return which images have a detection of the target at the place where one was to be invented, 1 or 0.

    Args:
        found: As `count_covered`.
        place: Left, top, right, bottom of the place in each image.
        target: Class of the detection.
        least: As `count_covered`.
        iou: As `count_covered`.
    """
    wanted = [np.concatenate([[float(target)], one])[None] for one in place]
    return count_covered(found, wanted, source=target, target=target, least=least, iou=iou)


def _of(rows: Rows, label: int | None) -> Rows:
    kept: Rows = rows[rows[:, 0] >= 0] if label is None else rows[rows[:, 0] == label]
    return kept


def _likely(detections: Rows, least: Least) -> Rows:
    limits: Float[np.ndarray, " class"] | Number = least if isinstance(least, int | float) else np.asarray(least)
    there: Rows = detections[detections[:, 0] >= 0]
    each = limits if isinstance(limits, int | float) else limits[there[:, 0].astype(int)]
    kept: Rows = there[there[:, 5] >= each]
    return kept
