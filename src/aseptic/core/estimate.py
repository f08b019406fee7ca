"""A number with its interval and its count; nothing is reported without them."""

import math
from dataclasses import dataclass

from aseptic.core.errors import ContractError


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value, its 95 % interval and how much it was measured on.

    Raises:
        ContractError: The count is negative, the interval is upside down, or there is half an interval.
    """

    value: float
    """Point estimate; NaN means that it could not be measured, never 0."""
    low: float
    """Lower end of the 95 % interval; NaN when there is none."""
    high: float
    """Upper end of the 95 % interval; NaN when there is none."""
    n: int
    """Number of images behind the value."""

    def __post_init__(self) -> None:
        """Check that the three numbers can belong together."""
        if self.n < 0:
            raise ContractError(f"an estimate needs a count of 0 or more, got {self.n}")
        if math.isnan(self.low) != math.isnan(self.high) or self.low > self.high:
            raise ContractError(f"an interval needs two ends, the lower first, got [{self.low}, {self.high}]")

    @property
    def known(self) -> bool:
        """Whether there is a value at all."""
        return not math.isnan(self.value)

    @property
    def bounded(self) -> bool:
        """Whether there is an interval; a single patient, for one, gives none."""
        return not math.isnan(self.low)


NOT_MEASURED = Estimate(value=math.nan, low=math.nan, high=math.nan, n=0)
"""What a metric returns where it is undefined: no images, or only one class."""
