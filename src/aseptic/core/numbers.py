"""Numbers as people write them: fractions such as 2/255."""

from fractions import Fraction

from aseptic.core.errors import InputError


def level(text: str | float, name: str = "eps") -> float:
    """Return a number of at least 0 from ``2/255``, ``0.008`` or ``1``.

    Args:
        text: What was written.
        name: What it is called, for the message.

    Raises:
        InputError: It is not a number, or negative.

    >>> level("2/255") * 255
    2.0
    >>> level("0.5/255") * 255
    0.5
    """
    above, _, below = str(text).partition("/")
    try:
        value = float(Fraction(above.strip()) / Fraction(below.strip() or 1))
    except (ValueError, ZeroDivisionError):
        raise InputError(f"{name} must be a number or a fraction such as 2/255, got {text!r}") from None
    if not value >= 0:
        raise InputError(f"{name} must be at least 0, got {text!r}")
    return value
