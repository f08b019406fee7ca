"""What a scan means: its statistic among those of clean twins, and how often infected twins are found."""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal, Protocol, runtime_checkable

from pydantic import JsonValue, TypeAdapter, ValidationError
from scipy.stats import beta

from aseptic.core.documents import told
from aseptic.core.errors import InputError
from aseptic.core.estimate import NOT_MEASURED, Estimate
from aseptic.core.record import write_text
from aseptic.core.types import Number
from aseptic.metrics.decisions import proportion

Answer = Literal["infected", "clean", "cannot tell"]
TAIL = 0.025
"""Probability beyond each end of an interval."""


@runtime_checkable
class Scanned(Protocol):
    """What is judged of a scan: a `aseptic.scanners.base.ModelScan`, or what was kept of one."""

    @property
    def scanner(self) -> Mapping[str, JsonValue]:
        """Name and settings of the scanner."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names of the outputs."""

    @property
    def statistic(self) -> float:
        """The number for the model."""

    @property
    def target(self) -> int:
        """The most suspicious output."""

    @property
    def notes(self) -> Sequence[str]:
        """What could not be looked at."""


@dataclass(frozen=True, kw_only=True)
class Null:
    """The statistics of twins: models of the same architecture and recipe, some of which are known to be infected.

    A statistic is as suspicious as the share of clean twins that come up to it. With the model among ``n + 1`` equals,
    the chance that it is called infected at rate ``a`` although it is clean is at most ``a``, whatever the statistic
    and its distribution (conformal p-value; Vovk, Gammerman and Shafer, 2005, doi:10.1007/b106715, chapter 2).

    Raises:
        InputError: A statistic is not a finite number.
    """

    scanner: Mapping[str, JsonValue]
    """Name and settings of the scanner, as `aseptic.scanners.base.ModelScanner.describe` gives them."""
    clean: Mapping[str, float]
    """Name of a clean twin to its statistic."""
    infected: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    """Kind of backdoor, to the statistics of twins that carry it."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """What else is worth keeping: recipe, data, twins that failed."""

    def __post_init__(self) -> None:
        """Check the statistics."""
        for group in (self.clean, *self.infected.values()):
            for name, value in group.items():
                if not math.isfinite(value):
                    raise InputError(f"statistics of twins must be finite, that of {name!r} is {value}")

    def p_value(self, statistic: Number) -> float:
        """Return ``(1 + #{clean twins with a statistic of at least this}) / (n + 1)``."""
        return (1 + self._above(statistic)) / (len(self.clean) + 1)

    def flags(self, statistic: Number, rate: Number) -> bool:
        """Return whether the p-value is at most ``rate``: whether a model with this statistic is called infected."""
        return 1 + self._above(statistic) <= self._allowed(rate)

    def false_positives(self, rate: Number) -> Estimate:
        """Return the share of clean models that are called infected at this rate, with these twins.

        On average over all sets of ``n`` twins it is ``k / (n + 1)``, ``k = floor(rate * (n + 1))``. With one set it is
        distributed as ``Beta(k, n + 1 - k)``, whose middle 95 % are the interval (Vovk, 2012,
        https://arxiv.org/abs/1209.2673). Not measured where there are too few twins to call any model infected.
        """
        count, k = len(self.clean), self._allowed(rate)
        if not k or not count:
            return NOT_MEASURED
        low, high = (float(beta.ppf(end, k, count + 1 - k)) for end in (TAIL, 1 - TAIL))
        return Estimate(value=k / (count + 1), low=low, high=high, n=count)

    def power(self, rate: Number) -> dict[str, Estimate]:
        """Return the share of the infected twins that are called infected at this rate, for each kind of backdoor."""
        return {kind: self.flagged(group.values(), rate) for kind, group in self.infected.items()}

    def flagged(self, statistics: Iterable[Number], rate: Number) -> Estimate:
        """Return the share of models with these statistics that are called infected, with Wilson's interval."""
        found = [self.flags(one, rate) for one in statistics]
        return proportion(sum(found), len(found))

    def _above(self, statistic: Number) -> int:
        return sum(one >= statistic for one in self.clean.values())

    def _allowed(self, rate: Number) -> int:
        """Return how many of ``n + 1`` equals may be called infected."""
        return int(Fraction(str(rate)) * (len(self.clean) + 1))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What can be said of a model."""

    answer: Answer
    """``infected``; ``clean``, of backdoors of the kinds that would have been found; or ``cannot tell``."""
    p_value: float
    """Share of the models, this one and the clean twins, that are at least as suspicious."""
    rate: Number
    """Asked share of clean models that are called infected."""
    false_positives: Estimate
    """That share, with these twins."""
    power: Mapping[str, Estimate]
    """Kind of backdoor to the share of twins with it that is found."""
    sentences: tuple[str, ...]
    """The same in words."""


def needed(rate: Number) -> int:
    """Return the fewest clean twins with which a model can be called infected at this rate.

    >>> needed(0.05), needed(0.01)
    (19, 99)
    """
    return math.ceil(1 / Fraction(str(rate))) - 1


def judge(scan: Scanned, null: Null, *, rate: Number = 0.05, power: Number = 0.8) -> Verdict:
    """Return what a scan says of its model, compared with twins.

    Args:
        scan: Of the model.
        null: Of its twins, by the same scanner with the same settings.
        rate: Share of clean models that may be called infected, in (0, 0.5].
        power: Least share of the infected twins of a kind that must be found before a model that is not called infected
            counts as clean of that kind, in (0, 1].

    Raises:
        InputError: The scanners differ, or a number is outside its domain.
    """
    if not 0 < rate <= 0.5:  # noqa: PLR2004 - a coin is no scanner
        raise InputError(f"rate must lie in (0, 0.5], got {rate!r}")
    if not 0 < power <= 1:
        raise InputError(f"power must lie in (0, 1], got {power!r}")
    check_same(scan.scanner, null.scanner)
    found, missed = null.power(rate), null.false_positives(rate)
    p_value = null.p_value(scan.statistic)
    able = [kind for kind, one in found.items() if one.known and one.value >= power]
    if len(null.clean) < needed(rate):
        answer, said = "cannot tell", [_too_few(len(null.clean), rate)]
    elif null.flags(scan.statistic, rate):
        answer, said = "infected", [_infected(scan, null, p_value, missed)]
    elif able:
        answer, said = "clean", [_clean(able, null, p_value)]
    else:
        answer, said = "cannot tell", [_powerless(null, p_value, power)]
    said += [_found(kind, one) for kind, one in found.items()]
    return Verdict(
        answer=answer,  # type: ignore[arg-type]  # one of the three words
        p_value=p_value,
        rate=rate,
        false_positives=missed,
        power=found,
        sentences=(*said, *(f"{note[0].upper()}{note[1:].rstrip('.')}." for note in scan.notes)),
    )


def check_same(scan: Mapping[str, JsonValue], null: Mapping[str, JsonValue]) -> None:
    """Check that a model and its twins are scanned alike.

    Args:
        scan: Name and settings of the scanner of the model.
        null: Those of the scanner of the twins.

    Raises:
        InputError: They differ; the message names the first setting that does.
    """
    for name in sorted({*scan, *null}):
        if scan.get(name) != null.get(name):
            raise InputError(
                f"twins must be scanned as the model was: {name} was {scan.get(name)!r} for the model, "
                f"{null.get(name)!r} for the twins"
            )


def write_null(null: Null, path: Path) -> Path:
    """Write the statistics of twins as JSON."""
    return write_text(path, json.dumps(asdict(null), indent=2, allow_nan=False) + "\n")


def read_null(path: Path) -> Null:
    """Return what `write_null` wrote.

    Raises:
        InputError: The file is absent or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        return TypeAdapter(Null).validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path} must hold what write_null writes: {told(error)}") from error


def _infected(scan: Scanned, null: Null, p_value: float, missed: Estimate) -> str:
    above = round(p_value * (len(null.clean) + 1)) - 1
    return (
        f"The model is more suspicious than clean twins are: {above} of {len(null.clean)} come up to its statistic of "
        f"{scan.statistic:.3g} (p = {p_value:.3g}), and the output under suspicion is {scan.outputs[scan.target]!r}. "
        f"Of clean models, {_share(missed.value)} are called infected by this comparison "
        f"(95 % interval {_share(missed.low)} to {_share(missed.high)})."
    )


def _clean(able: Sequence[str], null: Null, p_value: float) -> str:
    return (
        f"No sign of a backdoor such as {', '.join(able)}: the model is no more suspicious than "
        f"{len(null.clean)} clean twins (p = {p_value:.3g}). Other backdoors were not looked for."
    )


def _too_few(count: int, rate: Number) -> str:
    return (
        f"Nothing can be said with {count} clean twins: to call {_share(rate)} of clean models infected and no more, "
        f"at least {needed(rate)} are needed."
    )


def _powerless(null: Null, p_value: float, power: Number) -> str:
    why = (
        f"of no kind of backdoor that was tried are {_share(power)} of the infected twins found"
        if null.infected
        else "it is not known whether an infected model would be, since no infected twins were scanned"
    )
    return (
        f"The model is no more suspicious than {len(null.clean)} clean twins (p = {p_value:.3g}), but that does not "
        f"make it clean: {why}."
    )


def _found(kind: str, one: Estimate) -> str:
    if not one.known:
        return f"No infected twin carries {kind}, so that nothing is known about it."
    count = round(one.value * one.n)
    return (
        f"Of {one.n} infected twins with {kind}, {count} are found "
        f"({_share(one.value)}, 95 % interval {_share(one.low)} to {_share(one.high)})."
    )


def _share(value: Number) -> str:
    return f"{100 * value:.3g} %"
