"""What [0, 1] means for stored values: modality transform, window, inversion; and the way back."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Shaped
from numpy.typing import NDArray

from aseptic.core.errors import InputError
from aseptic.data.base import Scale
from aseptic.data.window import Values, Window

MAX_TABLE_BITS = 16
"""Up to this depth the value of every stored level is tabulated, and the way back is a search in the table."""


@dataclass(frozen=True, kw_only=True)
class Rescale:
    """Modality values are ``slope * stored + intercept``."""

    slope: float = 1.0
    """Modality units per stored level; never 0."""
    intercept: float = 0.0
    """Modality value of stored 0."""

    def apply(self, stored: Values) -> Values:
        """Return modality values."""
        values: Values = stored * self.slope + self.intercept
        return values


@dataclass(frozen=True, kw_only=True, eq=False)
class Lut:
    """A table from values to entries; what lies outside takes the nearest entry."""

    first: int
    """Value of the first entry."""
    entries: NDArray[np.int64]
    """The entries, at least one."""
    bits: int
    """Bits of an entry."""

    def apply(self, values: Values) -> Values:
        """Return the entry of each value; values between two integers take the lower one's, NaN the first."""
        index = np.nan_to_num(np.floor(values)) - self.first
        entries: Values = self.entries[np.clip(index, 0, len(self.entries) - 1).astype(np.int64)].astype(np.float64)
        return entries

    def unit(self, values: Values) -> Values:
        """Return the entries as a part of the largest that its bits can hold."""
        return np.clip(self.apply(values) / ((1 << self.bits) - 1), 0.0, 1.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Chain:
    """The whole way from stored values to [0, 1]."""

    bits: int
    """Bits Stored; 32 or 64 for floating point."""
    signed: bool = False
    """Whether stored integers are two's complement."""
    floating: bool = False
    """Whether stored values are floating-point numbers."""
    modality: Rescale | Lut = Rescale()
    """First step."""
    voi: Window | Lut
    """Second step: modality values to [0, 1]."""
    inverted: bool = False
    """Third step: whether 1 becomes 0 (MONOCHROME1)."""
    unit: str = "stored"
    """Unit of modality values."""
    measured: bool = False
    """Whether the window was measured on the pixels, and so must be written into a copy with other pixels."""
    how: str = ""
    """The chain in words."""

    @property
    def lowest(self) -> int:
        """Smallest integer that can be stored."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @property
    def highest(self) -> int:
        """Largest integer that can be stored."""
        return self.lowest + (1 << self.bits) - 1

    @cached_property
    def table(self) -> NDArray[np.float32] | None:
        """Value of every stored level, or None for floating point and for more than 16 bits."""
        if self.floating or self.bits > MAX_TABLE_BITS:
            return None
        return self._compute(np.arange(self.lowest, self.highest + 1, dtype=np.float64))

    def to_unit(self, stored: Shaped[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return stored values as float32 in [0, 1]; NaN and infinities become 0."""
        if self.table is None:
            return np.where(np.isfinite(stored), self._compute(stored.astype(np.float64)), np.float32(0))
        return self.table[self._index(stored)]

    def to_stored(
        self, pixels: Float[np.ndarray, "*shape"], old: Shaped[np.ndarray, "*shape"]
    ) -> Shaped[np.ndarray, "*shape"]:
        """Return the stored values nearest to ``pixels``; a pixel that is still at its old level keeps its old value.

        So does one whose old value is not a number: it was never part of the image.
        Where several stored values look the same (outside the window), the one nearest to the old value is taken.

        Raises:
            InputError: More than 16 bits pass through a lookup table, which has no inverse there.
        """
        if self.table is None:
            return self._solve(pixels, old)
        levels, first, count = np.unique(self.table, return_index=True, return_counts=True)
        middles = (levels[1:].astype(np.float64) + levels[:-1]) / 2
        nearest = np.searchsorted(middles, pixels.astype(np.float64))
        before = self._index(old)
        # equal levels are neighbours in a monotone table; in any other, the first of them is taken
        found = np.clip(before, first[nearest], first[nearest] + count[nearest] - 1)
        found = np.where(self.table[found] == levels[nearest], found, first[nearest])
        kept = self.table[before] == levels[nearest]
        return np.where(kept, old, (found + self.lowest).astype(old.dtype))

    def scale(self, *, lost: int = 0) -> Scale:
        """Return the facts that are recorded with an image in which ``lost`` stored values are not numbers."""
        voi = self.voi
        low, high = (voi.low, voi.high) if isinstance(voi, Window) else (voi.first, voi.first + len(voi.entries) - 1)
        if self.inverted:
            low, high = high, low
        rising = self.modality.slope > 0 if isinstance(self.modality, Rescale) else True
        return Scale(
            bits=self.bits,
            step=self._step(),
            low=float(low),
            high=float(high),
            unit=self.unit,
            inverted=self.inverted == rising,
            how=f"{self.how}, {lost} values that are not numbers read as 0" if lost else self.how,
        )

    def values(self, stored: Shaped[np.ndarray, "*shape"]) -> Float[np.ndarray, "*shape"]:
        """Return modality values as float64."""
        return self.modality.apply(stored.astype(np.float64))

    def _compute(self, stored: Values) -> NDArray[np.float32]:
        unit = self.voi.unit(self.modality.apply(stored))
        return (1 - unit if self.inverted else unit).astype(np.float32)

    def _index(self, stored: Shaped[np.ndarray, "*shape"]) -> NDArray[np.int64]:
        return np.clip(stored.astype(np.int64), self.lowest, self.highest) - self.lowest

    def _step(self) -> float:
        """Return the largest distance between neighbouring levels."""
        if self.floating:
            return 0.0
        if self.table is not None:
            steps = np.diff(self.table)
            if not (steps.min() >= 0 or steps.max() <= 0):  # not monotone: neighbours in value, not in storage
                steps = np.diff(np.unique(self.table))
            return float(np.abs(steps).max()) or 1.0
        if isinstance(self.modality, Rescale) and isinstance(self.voi, Window):
            return min(1.0, abs(self.modality.slope) / self.voi.width) if self.voi.width else 1.0
        return 1.0

    def _solve(
        self, pixels: Float[np.ndarray, "*shape"], old: Shaped[np.ndarray, "*shape"]
    ) -> Shaped[np.ndarray, "*shape"]:
        """Invert the formulas where there are too many levels for a table."""
        if not (isinstance(self.modality, Rescale) and isinstance(self.voi, Window)):
            raise InputError(f"an image of {self.bits} bits with a lookup table cannot be written back")
        unit = pixels.astype(np.float64)
        modality = self.voi.values(1 - unit if self.inverted else unit)
        stored = (modality - self.modality.intercept) / self.modality.slope
        if not self.floating:
            stored = np.clip(np.rint(stored), self.lowest, self.highest)
        kept = (self.to_unit(old) == pixels.astype(np.float32)) | ~np.isfinite(old)
        return np.where(kept, old, stored.astype(old.dtype))
