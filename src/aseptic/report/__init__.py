"""Floor 5: records in, one HTML page out; runs without torch."""

from aseptic.report.page import build

__all__ = ["build"]
