"""Several scanners, one error rate: what each of them may spend of it, and what they say together."""

import math
from collections.abc import Iterable

from aseptic.scanners.calibration import Answer

RULE = (
    "Infected if any scanner says so at its share of the error rate; clean if none does and one of them would have "
    "found the backdoors that it names; otherwise it cannot be told."
)
"""The rule, as a page says it."""


def shared(rate: float, scanners: int) -> float:
    """Return the rate of each of several scanners with which all together have at most ``rate`` (Bonferroni).

    The next larger number is taken: no float is 1/60, and 59 twins must be enough for it.

    >>> shared(0.05, 1)
    0.05
    """
    return rate if scanners <= 1 else math.nextafter(rate / scanners, 1)


def together(answers: Iterable[Answer]) -> Answer:
    """Return the answer of several scanners, as `RULE` has it.

    >>> together(["cannot tell", "clean"]), together(["clean", "infected"]), together([])
    ('clean', 'infected', 'cannot tell')
    """
    found = set(answers)
    return "infected" if "infected" in found else "clean" if "clean" in found else "cannot tell"
