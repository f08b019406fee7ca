"""Floor 5: is this input what it seems? Scores for images, learned from clean ones only."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.detectors.base import Detector, FittedDetector
    from aseptic.detectors.catalogue import DETECTORS, load_detector, make_detector, save_detector
    from aseptic.detectors.frequency import Frequency
    from aseptic.detectors.sentinet import SentiNet
    from aseptic.detectors.strip import STRIP

__all__ = [
    "DETECTORS",
    "STRIP",
    "Detector",
    "FittedDetector",
    "Frequency",
    "SentiNet",
    "load_detector",
    "make_detector",
    "save_detector",
]

__getattr__ = lazy(
    __name__,
    {
        "DETECTORS": "catalogue",
        "STRIP": "strip",
        "Detector": "base",
        "FittedDetector": "base",
        "Frequency": "frequency",
        "SentiNet": "sentinet",
        "load_detector": "catalogue",
        "make_detector": "catalogue",
        "save_detector": "catalogue",
    },
)
