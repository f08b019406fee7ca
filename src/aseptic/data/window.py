"""Grey windows: which modality values become 0 and 1, and the way back."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from aseptic.core.errors import InputError

Values = NDArray[np.float64]
"""Modality or voxel values of any shape."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """A monotone map from values to [0, 1].

    ``linear`` is ``clip((x - low) / (high - low), 0, 1)``, a step above ``low`` where the two are equal; ``sigmoid`` is
    DICOM's logistic curve (PS3.3 C.11.2.1.3.1) whose centre and width are those of ``low`` and ``high``.
    """

    low: float
    """Value that becomes 0 (linear)."""
    high: float
    """Value that becomes 1 (linear); at least ``low``."""
    shape: Literal["linear", "sigmoid"] = "linear"
    """Form of the curve."""

    @property
    def centre(self) -> float:
        """Middle of the window."""
        return self.low + self.width / 2

    @property
    def width(self) -> float:
        """Length of the window."""
        return self.high - self.low

    def unit(self, values: Values) -> Values:
        """Return ``values`` in [0, 1]; NaN stays NaN."""
        if self.shape == "sigmoid":
            return 0.5 + 0.5 * np.tanh(2 * (values - self.centre) / self.width)
        if self.width == 0:
            return np.where(values > self.low, 1.0, 0.0)
        return np.clip((values - self.low) / self.width, 0.0, 1.0)

    def values(self, unit: Values) -> Values:
        """Return the values that `unit` takes to these numbers; the sigmoid's ends are cut at 1e-9."""
        if self.shape == "sigmoid":
            return self.centre + self.width / 2 * np.arctanh(2 * np.clip(unit, 1e-9, 1 - 1e-9) - 1)
        return self.low + unit * self.width


def parse_window(option: str) -> Window | None:
    """Return the window that ``CENTRE/WIDTH`` asks for, or None for ``auto`` and ``full``.

    The window runs from centre - width / 2, which becomes 0, to centre + width / 2, which becomes 1.

    >>> parse_window("40/400")
    Window(low=-160.0, high=240.0, shape='linear')

    Raises:
        InputError: It is neither a word that is known nor two numbers, or the width is not positive.
    """
    if option in {"auto", "full"}:
        return None
    try:
        centre, width = (float(part) for part in option.split("/"))
    except ValueError:
        centre, width = math.nan, math.nan
    if not (math.isfinite(centre) and math.isfinite(width) and width > 0):
        raise InputError(f"window must be auto, full or CENTRE/WIDTH with a positive width, got {option!r}")
    return Window(low=centre - width / 2, high=centre + width / 2)
