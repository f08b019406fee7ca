"""How often the decisions are right: accuracy, sensitivity, specificity, confusion."""

import numpy as np
from jaxtyping import Float, Int

from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.metrics.bootstrap import SHARE, Column, Measured, Resample, mean
from aseptic.metrics.intervals import wilson

Classes = Int[np.ndarray, " image"]
"""One class number for each image."""
Findings = Float[np.ndarray, "image output"]
"""0, 1 or NaN for each image and finding."""


def proportion(successes: int, n: int) -> Estimate:
    """Return ``successes / n`` with Wilson's interval; not measured where ``n`` is 0.

    >>> proportion(9, 10)
    Estimate(value=0.9, low=0.595..., high=0.982..., n=10)

    Raises:
        InputError: There are fewer than 0 or more than ``n`` successes.
    """
    if not 0 <= successes <= n:
        raise InputError(f"successes must lie in 0..{n}, got {successes}")
    if n == 0:
        return NOT_MEASURED
    low, high = wilson(successes / n, n)
    return Estimate(value=successes / n, low=low, high=high, n=n)


def measure_accuracy(decisions: Classes, targets: Classes, sample: Resample) -> Measured:
    """Measure the share of images whose class is the decided one."""
    return mean((decisions == targets).astype(float), sample, SHARE)


def measure_exact(decisions: Findings, targets: Findings, sample: Resample) -> Measured:
    """Measure the share of images whose known findings are all decided rightly; images without any are left out."""
    unknown = np.isnan(targets)
    right = ((decisions == targets) | unknown).all(1).astype(float)
    return mean(np.where(unknown.all(1), np.nan, right), sample, SHARE)


def measure_sensitivity(decided: Column, positive: Column, sample: Resample) -> Measured:
    """Measure the share of the positive images that are decided positive: TP / (TP + FN)."""
    return mean(np.where(positive == 1, decided, np.nan), sample, SHARE)


def measure_specificity(decided: Column, positive: Column, sample: Resample) -> Measured:
    """Measure the share of the negative images that are decided negative: TN / (TN + FP)."""
    return mean(np.where(positive == 0, 1 - decided, np.nan), sample, SHARE)


def one_hot(numbers: Classes, classes: int) -> Findings:
    """Return 1 in the column of the class and 0 elsewhere, ``[image, class]``.

    Raises:
        InputError: A number is not a class.
    """
    if len(numbers) and not (numbers.min() >= 0 and numbers.max() < classes):
        raise InputError(f"class numbers must lie in 0..{classes - 1}, got {numbers.min()}..{numbers.max()}")
    hot: Findings = (numbers[:, None] == np.arange(classes)).astype(float)
    return hot


def confusion(decisions: Classes, targets: Classes, classes: int) -> Int[np.ndarray, "target decision"]:
    """Return counts of images; rows are the true classes, columns the decided ones.

    Raises:
        InputError: A number is not a class.
    """
    counts: Int[np.ndarray, "target decision"] = (one_hot(targets, classes).T @ one_hot(decisions, classes)).astype(
        np.int64
    )
    return counts


def confusion_findings(decisions: Findings, targets: Findings) -> Int[np.ndarray, "output 2 2"]:
    """Return ``[[TN, FP], [FN, TP]]`` for every finding; unknown targets are left out."""
    return np.stack(
        [[((targets == true) & (decisions == decided)).sum(0) for decided in (0, 1)] for true in (0, 1)]
    ).transpose(2, 0, 1)
