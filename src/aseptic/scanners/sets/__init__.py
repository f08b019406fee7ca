"""Scanners of training sets: which images look as if somebody had poisoned them, and is any class suspicious?"""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.scanners.sets.activation_clustering import ActivationClustering
    from aseptic.scanners.sets.base import Evidence, GroupScan, SetScan, SetScanner
    from aseptic.scanners.sets.beatrix import Beatrix
    from aseptic.scanners.sets.catalogue import SET_SCANNERS, make_set_scanner
    from aseptic.scanners.sets.nulls import null_statistics, permuted, widened
    from aseptic.scanners.sets.spectral_signatures import SpectralSignatures
    from aseptic.scanners.sets.spectrum import Spectrum

__all__ = [
    "SET_SCANNERS",
    "ActivationClustering",
    "Beatrix",
    "Evidence",
    "GroupScan",
    "SetScan",
    "SetScanner",
    "SpectralSignatures",
    "Spectrum",
    "make_set_scanner",
    "null_statistics",
    "permuted",
    "widened",
]

__getattr__ = lazy(
    __name__,
    {
        "SET_SCANNERS": "catalogue",
        "ActivationClustering": "activation_clustering",
        "Beatrix": "beatrix",
        "Evidence": "base",
        "GroupScan": "base",
        "SetScan": "base",
        "SetScanner": "base",
        "SpectralSignatures": "spectral_signatures",
        "Spectrum": "spectrum",
        "make_set_scanner": "catalogue",
        "null_statistics": "nulls",
        "permuted": "nulls",
        "widened": "nulls",
    },
)
