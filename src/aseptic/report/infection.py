"""The section on a suspected trigger: what it is, what it does, and what that does not say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from aseptic.report import words
from aseptic.report.keys import Entry

LEVELS = ("value", "ground", "delta", "amplitude", "magnitude")
"""Settings of triggers that are grey values."""
PLACES = {
    "stored": "the image as it is stored, before any cropping or resizing",
    "network": "what the network is fed, after cropping and resizing",
}
"""Where a trigger goes, in words."""
ONLY = (
    "Only this trigger, put in this way, and this answer were tried. A backdoor with another trigger, place or answer "
    "stays unseen."
)
NOT_WHO = (
    "That a model obeys a trigger does not say who planted it, or that somebody did: an honest model may do so where "
    "the trigger looks like a finding, or covers what the decision rests on."
)


@dataclass(frozen=True, kw_only=True)
class Rate:
    """How often the wanted answer is given, without the trigger and with it."""

    label: str
    """Which images."""
    before: Entry | None
    """Without the trigger."""
    after: Entry | None
    """With it."""
    difference: Entry | None
    """What the trigger adds; None where it is not measured."""


@dataclass(frozen=True, kw_only=True)
class Infection:
    """Everything that the section shows."""

    noun: str
    """What is counted, in words: images, places or boxes."""
    wanted: str
    """The answer that the attacker wants of it, in words."""
    facts: Sequence[tuple[str, str]]
    """What the trigger is: name and value of each setting."""
    rates: Sequence[Rate]
    """The numbers that the verdict rests on."""
    trap: str
    """Why the rate of all images misleads; empty where it is not shown."""
    rest: Sequence[Entry]
    """All further numbers."""
    unsaid: Sequence[str]
    """What the numbers do not say."""


def infection(entries: Sequence[Entry]) -> Infection | None:
    """Return the section; None where no trigger was tried."""
    if not entries:
        return None
    by_metric = {e.metric: e for e in entries}
    args = entries[0].finding.args
    others = str(args.get("others", "images"))
    wanted = str(args.get("wanted", "answered as the attacker wants"))
    rates = [_rate(others, by_metric, ("before_other", "success_other", "excess"))]
    trap = ""
    if others != "images" and "success" in by_metric:  # where no image is so in truth, both rows would be the same
        rates.append(_rate("all images", by_metric, ("before", "success", "")))
        trap = _trap(rates[-1], wanted)
    shown = [e for rate in rates for e in (rate.before, rate.after, rate.difference)]
    return Infection(
        noun=str(args.get("noun", "images")),
        wanted=wanted,
        facts=_facts(args),
        rates=rates,
        trap=trap,
        rest=[e for e in entries if e not in shown],
        unsaid=_unsaid(args, by_metric),
    )


def _rate(label: str, entries: Mapping[str, Entry], metrics: tuple[str, str, str]) -> Rate:
    before, after, difference = (entries.get(metric) for metric in metrics)
    return Rate(label=label[:1].upper() + label[1:], before=before, after=after, difference=difference)


def _trap(everything: Rate, wanted: str) -> str:
    if everything.before is None or everything.before.finding.value is None:
        return ""
    share = words.amount(everything.before.finding.value, everything.before.metric)
    return (
        f"All images count those, too, that truly are what the attacker wants: {share} are {wanted} without any "
        "trigger. The first row leaves them out."
    )


def _facts(args: Mapping[str, Any]) -> list[tuple[str, str]]:
    trigger = args.get("trigger")
    settings = dict(trigger) if isinstance(trigger, dict) else {}
    found = [("Trigger", str(args.get("what", settings.get("name", "not known"))))]
    settings.pop("name", None)
    found += [
        (key.replace("_", " ").capitalize(), _value(key, value)) for key, value in settings.items() if value is not None
    ]
    place = str(args.get("insert", ""))
    found.append(("Put into", PLACES.get(place, place)))
    if "overlap" in args:
        score, shared = (words.setting(args[name]) for name in ("confidence", "overlap"))
        found.append(
            ("A detection counts", f"from a score of {score}, and for a box from an overlap of {shared} with it")
        )
    if not args.get("labelled", True):
        found.append(("Taken for the truth", "the model's own answers without the trigger: the data has no labels"))
    return found


def _value(key: str, value: object) -> str:
    if key in LEVELS and isinstance(value, int | float):
        return f"{round(255 * value, 2):g} of 255 grey levels"
    return words.setting(value)


def _unsaid(args: Mapping[str, Any], entries: Mapping[str, Entry]) -> list[str]:
    lines = [ONLY, NOT_WHO]
    vanished = entries.get("vanished")
    if vanished is not None and vanished.finding.value:
        share = words.amount(vanished.finding.value, "vanished")
        lines.append(
            f"In {share} of the images the trigger is lost on its way to the network: there, nothing was tried."
        )
    if unknown := args.get("unknown"):
        lines.append(
            f"Of {unknown} images it is not known whether they show {args.get('target')}; what the model says of them "
            "without the trigger takes its place."
        )
    return lines
