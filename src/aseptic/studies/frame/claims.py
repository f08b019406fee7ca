"""Claims of a paper, and how a measured interval decides each: held, not held, or not testable on this data."""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from aseptic.core.errors import ContractError
from aseptic.report.study.card import Verdict
from aseptic.studies.frame.scales import Scale

SEEN = re.compile(r"\[(PAPER|CODE|COUNTED)\b[^\]]*\]")
"""Tag of a published number that somebody has read or counted; others must not be shown."""
SLUG = re.compile(r"[a-z0-9][a-z0-9_-]*")
"""Form of the name of a claim."""


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """Where a number, or its difference to another finding, must lie; judged on the whole interval."""

    low: float = -math.inf
    """Lower end of what is allowed."""
    high: float = math.inf
    """Upper end of what is allowed."""
    strict: bool = False
    """Whether the ends themselves are excluded."""
    other: str = ""
    """Id of the finding that is subtracted first; empty where the number itself is judged."""

    def describe(self, say: Callable[[float], str] = "{:g}".format) -> str:
        """Return the criterion in words, its numbers written by ``say``.

        >>> at_least(0.8).describe(), within(0.1, of=0.5).describe(), greater_than("asr.noise").describe()
        ('at least 0.8', 'from 0.4 to 0.6', 'greater than asr.noise')
        """
        if self.other and self.low == 0:
            return f"greater than {self.other}"
        if self.other:
            return f"within {say(self.high)} of {self.other}"
        if math.isinf(self.high):
            return f"{'more than' if self.strict else 'at least'} {say(self.low)}"
        if math.isinf(self.low):
            return f"{'less than' if self.strict else 'at most'} {say(self.high)}"
        return f"from {say(self.low)} to {say(self.high)}"


def at_least(bound: float) -> Criterion:
    """Return the criterion that the number is ``bound`` or more."""
    return Criterion(low=bound)


def at_most(bound: float) -> Criterion:
    """Return the criterion that the number is ``bound`` or less."""
    return Criterion(high=bound)


def above(bound: float) -> Criterion:
    """Return the criterion that the number is more than ``bound``; for a paired difference, above 0."""
    return Criterion(low=bound, strict=True)


def below(bound: float) -> Criterion:
    """Return the criterion that the number is less than ``bound``."""
    return Criterion(high=bound, strict=True)


def within(tolerance: float, *, of: float | str) -> Criterion:
    """Return the criterion that the number lies within ``tolerance`` of a number, or of another finding (its id)."""
    if isinstance(of, str):
        return Criterion(low=-tolerance, high=tolerance, other=of)
    return Criterion(low=of - tolerance, high=of + tolerance)


def greater_than(other: str) -> Criterion:
    """Return the criterion that the number is greater than another finding (its id).

    The two intervals must not touch, whatever the findings have in common: where both are measured on the same
    images, measure the paired difference and use `above` 0, which decides sooner.
    """
    return Criterion(low=0.0, strict=True, other=other)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One thing that the paper says, in its own words, and the findings that decide it.

    Raises:
        ContractError: The id has another form, no finding decides, or the published number carries no tag that says
            where it was seen.
    """

    id: str
    """Short name: small letters, digits, ``-`` and ``_``."""
    words: str
    """The paper's words, quoted."""
    where: str
    """Section, and the tag of PROTOCOLS.md: ``abstract [PAPER abstract]``."""
    findings: tuple[str, ...]
    """Ids of the findings that decide; every one must meet the criterion."""
    criterion: Criterion
    """What they must meet."""
    published: float | None = None
    """The paper's number; None where it gives none or it is not available to us."""
    untestable: Mapping[Scale, str] = field(default_factory=dict)
    """Scales whose data cannot decide it whatever is measured, with the reason: the numbers of phantoms, say."""

    def __post_init__(self) -> None:
        """Refuse what could not be judged or must not be shown."""
        if not SLUG.fullmatch(self.id):
            raise ContractError(f"the id of a claim must be of small letters, digits, - and _, got {self.id!r}")
        if not self.findings:
            raise ContractError(f"claim {self.id} must name at least one finding that decides it, got none")
        if self.published is not None and not SEEN.search(self.where):
            raise ContractError(
                f"claim {self.id} has a published number, so `where` must hold a tag [PAPER ...], [CODE ...] or "
                f"[COUNTED ...], got {self.where!r}"
            )

    def needs(self) -> tuple[str, ...]:
        """Return the ids of all findings that are looked at."""
        return (*self.findings, *([self.criterion.other] if self.criterion.other else []))


@dataclass(frozen=True, kw_only=True)
class Judged:
    """How a claim ended."""

    verdict: Verdict
    """``held``, ``not held`` or ``not testable``."""
    reason: str
    """Why, in words."""
