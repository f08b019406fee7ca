"""How long a scan takes at most, for the plan."""

from aseptic.scanners.base import ModelScanner
from aseptic.scanners.inversion import Inversion
from aseptic.scanners.mmbd import MMBD

TRIED = 4 / 3
"""Passes of a round: forward and backward, and a forward pass, about a third of both, where a trigger is tried."""


def most_passes(scanner: ModelScanner, outputs: int, images: int) -> int:
    """Return how many images pass forward and backward in a scan, at most; most scans end earlier.

    >>> most_passes(MMBD(starts=8, steps=99), outputs=3, images=0)
    2400
    """
    if isinstance(scanner, MMBD):
        return outputs * scanner.starts * (scanner.steps + 1)
    if isinstance(scanner, Inversion):
        return round(TRIED * outputs * min(scanner.images, images) * scanner.rounds)
    return 0
