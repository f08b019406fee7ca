"""``--fail-on``: limits that turn a finding into exit code 1."""

import operator
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.core.record import Finding, Results

GATE_CROSSED = 1
SOMETHING_FAILED = 3

FailOn = Annotated[
    list[str] | None,
    typer.Option(help="Exit 1 on a severity (high) or a crossed limit (curve.pgd.accuracy@2<0.5); may be repeated."),
]

SEVERITIES = ("info", "low", "medium", "high", "critical")
COMPARE: Mapping[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}
LIMIT = re.compile(r"^(?P<id>\S+?)\s*(?P<sign><=|>=|<|>)\s*(?P<value>[-+0-9.eE]+)$")


@dataclass(frozen=True, kw_only=True)
class Gate:
    """A severity, or a finding's value on one side of a limit."""

    text: str
    """As the user wrote it."""
    severity: str | None = None
    """Crossed by any finding at least this severe."""
    finding: str | None = None
    """Id of the finding whose value is compared."""
    sign: str = "<"
    """One of ``<``, ``<=``, ``>``, ``>=``."""
    value: float = 0.0
    """The limit."""


def parse(text: str) -> Gate:
    """Return the gate that ``text`` says: ``high``, or ``curve.pgd.accuracy@2<0.5``.

    >>> parse("curve.pgd.accuracy@2<0.5").value
    0.5
    """
    if text in SEVERITIES:
        return Gate(text=text, severity=text)
    found = LIMIT.match(text)
    try:
        return Gate(text=text, finding=found["id"], sign=found["sign"], value=float(found["value"]))  # type: ignore[index]
    except (TypeError, ValueError):
        raise InputError(
            f"fail-on must be one of {', '.join(SEVERITIES)}, or FINDING<VALUE with <, <=, > or >=; got {text!r}"
        ) from None


def crossed(gate: Gate, findings: Sequence["Finding"]) -> bool:
    """Return whether the findings cross the gate; a number that could not be measured crosses it.

    Raises:
        InputError: There is no finding of that name.
    """
    if gate.severity is not None:
        least = SEVERITIES.index(gate.severity)
        return any(SEVERITIES.index(one.severity) >= least for one in findings)
    found = next((one for one in findings if one.id == gate.finding), None)
    if found is None:
        near = sorted(one.id for one in findings if one.value is not None)
        raise InputError(f"fail-on must name a finding such as {', '.join(near[:5])}; got {gate.finding!r}")
    return found.value is None or COMPARE[gate.sign](found.value, gate.value)


def leave(results: "Results", limits: Sequence[Gate]) -> None:
    """Name the gates that the findings cross, and exit with 3 where something failed, with 1 where one was crossed.

    Raises:
        InputError: A gate names no finding.
    """
    found = [gate for gate in limits if crossed(gate, results.findings)]
    for gate in found:
        typer.echo(f"gate crossed: {gate.text}")
    if results.failed:
        raise typer.Exit(SOMETHING_FAILED)
    if found:
        raise typer.Exit(GATE_CROSSED)
