"""Floor 5: whether a model carries a backdoor that nobody has named, judged against clean twins; sets in `sets`."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.scanners.base import ModelScan, ModelScanner, Progress
    from aseptic.scanners.calibration import Null, Verdict, judge, read_null, write_null
    from aseptic.scanners.catalogue import SCANNERS, make_scanner
    from aseptic.scanners.mmbd import MMBD
    from aseptic.scanners.neuralcleanse import NeuralCleanse
    from aseptic.scanners.smooth import SmoothInversion

__all__ = [
    "MMBD",
    "SCANNERS",
    "ModelScan",
    "ModelScanner",
    "NeuralCleanse",
    "Null",
    "Progress",
    "SmoothInversion",
    "Verdict",
    "judge",
    "make_scanner",
    "read_null",
    "write_null",
]

__getattr__ = lazy(
    __name__,
    {
        "MMBD": "mmbd",
        "SCANNERS": "catalogue",
        "ModelScan": "base",
        "ModelScanner": "base",
        "NeuralCleanse": "neuralcleanse",
        "Null": "calibration",
        "Progress": "base",
        "SmoothInversion": "smooth",
        "Verdict": "calibration",
        "judge": "calibration",
        "make_scanner": "catalogue",
        "read_null": "calibration",
        "write_null": "calibration",
    },
)
