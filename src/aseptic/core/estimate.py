"""A number with its interval and its count; nothing is reported without them."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value, its 95 % interval and how much it was measured on."""

    value: float
    """Point estimate; NaN means that it could not be measured, never 0."""
    low: float
    """Lower end of the 95 % interval; NaN when there is none."""
    high: float
    """Upper end of the 95 % interval; NaN when there is none."""
    n: int
    """Number of images behind the value."""

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return not math.isnan(self.value)


NOT_MEASURED = Estimate(value=math.nan, low=math.nan, high=math.nan, n=0)
"""What a metric returns where it is undefined: no images, or only one class."""
