"""Sorts findings into the sections of the page by their names; what no section knows goes to the last table."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from aseptic.core.record import Finding

_AT = r"@(?P<grey>\d+(?:\.\d+)?)"
PATTERNS = {
    "verdict": r"verdict",
    "preflight": r"preflight\.(?P<name>.+)",
    "clean": r"clean\.(?P<metric>\w+)(?::(?P<name>.+))?",
    "curve": r"curve\.(?P<name>.+)\.(?P<metric>\w+)" + _AT,
    "class": r"class\.(?P<name>[^.]+)\.(?P<metric>\w+):.+" + _AT,
    "probe": r"probe\.(?P<name>.+)\.(?P<metric>\w+)" + _AT,
    "survival": r"survival\.(?P<name>.+)@(?P<queries>\d+)",
    "collateral": r"collateral\.(?P<name>.+)" + _AT,
    "doubt": r"doubt\.(?P<name>.+)" + _AT,
    "noise": r"noise\.(?P<metric>\w+)" + _AT,
    "damage": r"damage\.(?P<name>.+)" + _AT,
    "storage": r"storage\.(?P<name>.+)" + _AT,
    "drift": r"drift\.(?P<name>.+)\.(?P<metric>\w+)" + _AT,
    "infection": r"infection\.(?P<metric>.+)",
    "scan": r"scan\.(?:(?P<name>[^.]+)\.)?(?P<metric>\w+)(?::.+)?",
    "cost": r"cost\.(?P<name>.+)",
}
"""Section to the form of its findings' names."""
OTHER = "other"
"""Section of the findings that match no form."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A finding and its place on the page."""

    section: str
    """One of `PATTERNS`, or `OTHER`."""
    name: str
    """Attack, class, map or check; empty where the section has no names."""
    metric: str
    """Name of the number."""
    grey: float
    """Size of the perturbation in grey levels of 255; 0 where there is none."""
    queries: int
    """Questions after which it was measured; 0 where there are none."""
    finding: Finding
    """The finding itself."""


def entry(finding: Finding) -> Entry:
    """Return the place of one finding."""
    for section, pattern in PATTERNS.items():
        if match := re.fullmatch(pattern, finding.id, flags=re.DOTALL):
            parts = match.groupdict()
            return Entry(
                section=section,
                name=parts.get("name") or "",
                metric=parts.get("metric") or finding.metric,
                grey=float(parts.get("grey") or 0),
                queries=int(parts.get("queries") or 0),
                finding=finding,
            )
    return Entry(section=OTHER, name="", metric=finding.metric, grey=0.0, queries=0, finding=finding)


def by_section(findings: Iterable[Finding]) -> dict[str, list[Entry]]:
    """Return the findings of every section, in the order of the record."""
    sections: dict[str, list[Entry]] = {section: [] for section in (*PATTERNS, OTHER)}
    for found in findings:
        place = entry(found)
        sections[place.section].append(place)
    return sections


def pick(entries: Iterable[Entry], *, name: str | None = None, metric: str | None = None) -> list[Entry]:
    """Return the entries with this name and this metric, by size of perturbation."""
    kept = [e for e in entries if name in (None, e.name) and metric in (None, e.metric)]
    return sorted(kept, key=lambda e: e.grey)


def names(entries: Iterable[Entry]) -> list[str]:
    """Return the distinct names, in the order in which they appear."""
    return list(dict.fromkeys(e.name for e in entries))


def greys(entries: Iterable[Entry]) -> list[float]:
    """Return the distinct sizes of perturbation, rising."""
    return sorted({e.grey for e in entries})
