"""Lesions, the connected parts of a mask: which were missed, and which were invented."""

import numpy as np
from jaxtyping import Bool, Int
from scipy import ndimage

from aseptic.core.errors import InputError


def label_lesions(mask: Bool[np.ndarray, "*space"]) -> tuple[Int[np.ndarray, "*space"], int]:
    """Return the number of the lesion at every place (0 outside), and how many there are.

    Places that touch, at an edge or a corner too, belong together.
    """
    numbers, count = ndimage.label(mask, np.ones((3,) * mask.ndim))
    return numbers, int(count)


def missed(
    truth: Bool[np.ndarray, "*space"], found: Bool[np.ndarray, "*space"], share: float = 0.0
) -> Bool[np.ndarray, " lesion"]:
    """Return which lesions of the truth were missed: at most ``share`` of their places were found.

    >>> missed(np.array([True, False, True, True]), np.array([False, False, False, True]))
    array([ True, False])

    Raises:
        InputError: The share is outside [0, 1).
    """
    if not 0 <= share < 1:
        raise InputError(f"share must lie in [0, 1), got {share!r}")
    numbers, count = label_lesions(truth)
    sizes, hits = (np.bincount(numbers[kept], minlength=count + 1)[1:] for kept in (truth, truth & found))
    return hits <= share * sizes


def invented(truth: Bool[np.ndarray, "*space"], found: Bool[np.ndarray, "*space"]) -> Bool[np.ndarray, " lesion"]:
    """Return which lesions that were found lie nowhere on one of the truth."""
    return missed(found, truth)
