"""The first screen of the page: the verdict and the few numbers that carry it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from aseptic.core.record import SEVERITIES, Results
from aseptic.report import words
from aseptic.report.keys import Entry, greys, names, pick
from aseptic.report.wording import Wording

Sections = Mapping[str, Sequence[Entry]]
NUMBERS = 5
"""Numbers that head the page, at most."""
PREFERRED = 2.0
"""Size of perturbation to head the page with, in grey levels, where the verdict names none."""


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What the banner says."""

    severity: str
    """One of the severities of the record, or ``none`` where there is no verdict."""
    title: str
    """The verdict in one sentence."""
    text: Sequence[str]
    """Further sentences."""
    grey: float | None
    """Size of perturbation that the headline numbers are for; None where nothing was attacked."""
    entry: Entry | None
    """The finding behind it."""


@dataclass(frozen=True, kw_only=True)
class KeyNumber:
    """One headline number."""

    label: str
    """What it is."""
    note: str
    """What it means, in a few words."""
    tone: str
    """``clean``, ``attack``, ``noise`` or ``plain``: the colour of its figure."""
    entry: Entry
    """The finding."""


def verdict(results: Results, sections: Sections) -> Verdict:
    """Return the verdict of the record, or say plainly that there is none."""
    size = _size(sections)
    if not sections["verdict"]:
        title = "No verdict: " + ("nothing was measured." if not results.findings else "the audit did not reach one.")
        return Verdict(severity="none", title=title, text=[], grey=size, entry=None)
    first = sections["verdict"][0]
    given = first.finding.args.get("text", [])
    text = [str(line) for line in given if line != first.finding.title] if isinstance(given, list) else [str(given)]
    severity = max((e.finding.severity for e in sections["verdict"]), key=SEVERITIES.index)
    return Verdict(severity=severity, title=first.finding.title, text=text, grey=size, entry=first)


def _size(sections: Sections) -> float | None:
    for e in sections["verdict"]:
        given = e.finding.args.get("grey_levels", e.finding.args.get("grey"))
        if isinstance(given, int | float):
            return float(given)
    found = greys(sections["curve"])
    return min(found, key=lambda size: abs(size - PREFERRED)) if found else None


def key_numbers(sections: Sections, wording: Wording, size: float | None) -> list[KeyNumber]:
    """Return up to five numbers: untouched, with a suspected trigger, attacked, noise, fooled, fooled after storage."""
    attacked = [e for e in sections["curve"] if e.grey == size and e.finding.value is not None]
    order = wording.order
    everything = [*attacked, *sections["clean"]]
    metric = next((m for m in order if any(e.metric == m and not _per_class(e) for e in everything)), order[0])
    name = wording.metric(metric)
    budget = "" if size is None else f"at most {words.grey(size)} a pixel"
    worst = min(pick(attacked, metric=metric), key=lambda e: (_value(e), e.name != words.WORST), default=None)
    attack = "" if worst is None else "the " * (worst.name == words.WORST) + words.attack_name(worst.name)
    turned = pick(attacked, metric="turned") or pick(attacked, metric="success")
    fooled = max(turned, key=_value, default=None)
    noise = next((e for e in pick(sections["noise"], metric=metric) if e.grey == size), None)
    kept = [e for e in sections["storage"] if e.grey == size and e.name != "float" and e.finding.value is not None]
    stored = min(kept, key=_value, default=None)
    clean = next((e for e in sections["clean"] if e.metric == metric and not e.name), None)
    triggered = next(iter(pick(sections["infection"], metric="success_other")), None)
    candidates = [
        (clean, "Untouched", f"{name}, before any attack", "clean"),
        (triggered, "With the trigger", _triggered(triggered, sections), "attack"),
        (worst, "Attacked", f"{name} under {attack}, {budget}", "attack"),
        (noise, "Noise only", f"{name} under the same change, pixels shuffled", "noise"),
        (fooled, wording.fooled, f"{wording.metric(fooled.metric)}, {budget}" if fooled else "", "attack"),
        (stored, "Survives storage", f"{wording.kept} {_storage(stored)}", "plain"),
    ]
    return [
        KeyNumber(label=label, note=note, tone=tone, entry=e)
        for e, label, note, tone in candidates
        if e is not None and e.finding.value is not None
    ][:NUMBERS]


def _triggered(e: Entry | None, sections: Sections) -> str:
    """Return what the number of a suspected trigger means, and what it is without the trigger."""
    if e is None:
        return ""
    said = f"of the {e.finding.args.get('others')} are {e.finding.args.get('wanted')}"
    before = next((e for e in pick(sections["infection"], metric="before_other")), None)
    return said if before is None else f"{said}; {words.amount(before.finding.value, before.metric)} without it"


def storage_name(how: str, bits: object) -> str:
    """Return a way of storing an image in words.

    >>> storage_name("native", 12), storage_name("8bit", 8), storage_name("float", None)
    ("at the source's own depth, 12 bits", 'as 8 bits', 'not rounded (floating point)')
    """
    if how == "native":
        return f"at the source's own depth, {bits} bits" if bits else "at the source's own depth"
    return {"float": "not rounded (floating point)", "8bit": "as 8 bits"}.get(how, how)


def storage_columns(sections: Sections) -> list[str]:
    """Return the ways of storing an image in words, in the order of the record."""
    first = {e.name: e for e in reversed(sections["storage"])}
    return [_storage(first[name]) for name in names(sections["storage"])]


def _storage(e: Entry | None) -> str:
    return "" if e is None else storage_name(e.name, e.finding.args.get("bits"))


def _per_class(e: Entry) -> bool:
    return e.section == "clean" and bool(e.name)


def _value(e: Entry) -> float:
    return 0.0 if e.finding.value is None else e.finding.value
