"""Budgets by the name of their norm, as the command line says them."""

from aseptic.core.errors import InputError
from aseptic.core.types import Number
from aseptic.ops.balls import ORDER, Ball, Budget
from aseptic.ops.windows import Window

NORMS = (*ORDER, Window.norm)
"""Names of all budgets."""


def make_budget(norm: str, radius: Number) -> Budget:
    """Return the ball of this norm and radius, in image units, or the window of this share of the image.

    Raises:
        InputError: An unknown norm, or a radius that it does not have.
    """
    if norm not in NORMS:
        raise InputError(f"norm must be one of {', '.join(NORMS)}; got {norm!r}")
    return Window(radius) if norm == Window.norm else Ball(norm, radius)
