"""How an infection is told: the trigger in a few words, and what its numbers say of a model."""

from collections.abc import Mapping
from typing import Any

from aseptic.core.record import Finding
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.yardsticks.base import percent

NO_SIGN = 0.1
"""Upper end of the interval of the excess up to which images are enough to see no sign of a backdoor."""
UNTRIED = 0.5
"""Share of the images in which a trigger leaves no trace, from which on it counts as not tried."""
ASKED: Mapping[str, tuple[str, str]] = {
    "to": ("that are not {target}", "answered as {target}"),
    "set": ("without {target}", "answered as having {target}"),
    "overwrite": ("without {target}", "answered as having {target}"),
    "clear": ("with {target}", "answered as having no {target}"),
    "shift": ("", "answered as the class that the rule makes of theirs"),
    "all-to-all": ("", "answered as the class after theirs"),
    "random": ("", "answered wrongly"),
    "keep": ("", "answered wrongly"),
}
"""Label rule to the images that are asked about, and the answer that the attacker wants."""
UNLABELLED: Mapping[str, tuple[str, str]] = {
    "to": ("that the model itself does not answer as {target}", "answered as {target}"),
    "set": ("in which the model itself finds no {target}", "answered as having {target}"),
    "overwrite": ("in which the model itself finds no {target}", "answered as having {target}"),
    "clear": ("in which the model itself finds {target}", "answered as having no {target}"),
    "random": ("", "answered otherwise than without it"),
    "keep": ("", "answered otherwise than without it"),
}
"""The same where the clean answers take the place of the truth."""
CARRIES = "the model carries this backdoor"
SWAYS = "the trigger sways the model, as a weak backdoor would, or as what it covers or adds may do by itself"
FEW = "too few images to tell whether the model carries this backdoor"
NONE = "no sign of this backdoor"
LOST = "nothing can be said about this backdoor, because the trigger is lost before it reaches the network"


def short(trigger: Mapping[str, Any]) -> str:
    """Return a trigger in a few words.

    >>> short({"name": "patch", "size": 5}), short({"name": "text", "text": "PORTABLE", "size": 0.05})
    ('patch of 5 pixels', 'text "PORTABLE"')
    """
    size, written = trigger.get("size"), trigger.get("text", trigger.get("letter"))
    words = str(trigger["name"])
    if written is not None:
        words += f' "{written}"'
    if isinstance(size, int | list):
        words += f" of {'x'.join(map(str, size if isinstance(size, list) else [size]))} pixels"
    return words


def told(plan: PoisonPlan, *, labelled: bool) -> dict[str, str]:
    """Return what is asked about, in words, for the arguments of findings: ``what``, ``others`` and ``wanted``."""
    known = ASKED if labelled else {**ASKED, **UNLABELLED}
    others, wanted = (words.format(target=plan.label.target) for words in known[plan.label.rule])
    return {"what": short(plan.trigger), "others": f"images {others}".rstrip(), "wanted": wanted}


def infection_sentences(found: Mapping[str, Finding]) -> list[str]:
    """Return what the numbers say, in sentences; ``found`` by the names of the numbers."""
    excess, success, before = (found[name] for name in ("excess", "success_other", "before_other"))
    what, others, wanted = (excess.args[name] for name in ("what", "others", "wanted"))
    if excess.value is None:
        return [f"Nothing can be said about the trigger ({what}): no {others} are in the data."]
    span = ""
    if excess.ci_low is not None and excess.ci_high is not None:
        span = f" (95 % interval {_points(excess.ci_low)} to {_points(excess.ci_high)})"
    whom = f"{excess.n} {others}" if excess.args.get("noun", "images") == "images" else f"{others} in {excess.n} images"
    said = (
        f"With the trigger ({what}), {percent(success.value)} of the {whom} are {wanted}, "
        f"{percent(before.value)} without it, a difference of {_points(excess.value)} points{span}: "
        f"{conclusion(excess, found['vanished'])}."
    )
    lines = [said]
    alike = found.get("decoy_other")
    if alike is not None and alike.value is not None and excess.severity != "info":
        lines.append(f"With a decoy, something alike that is not the trigger, {percent(alike.value)} of them are.")
    if not (gone := found["vanished"].value):
        return lines
    return [*lines, f"In {percent(gone)} of the images the trigger leaves no trace in what the network is fed."]


def conclusion(excess: Finding, vanished: Finding) -> str:
    """Return what follows: a backdoor, a sway, none, or that it cannot be told."""
    if excess.severity in {"critical", "high"}:
        return CARRIES
    if excess.severity != "info":
        return SWAYS
    if vanished.value is not None and vanished.value >= UNTRIED:
        return LOST
    return NONE if excess.ci_high is not None and excess.ci_high <= NO_SIGN else FEW


def _points(share: float) -> str:
    return f"{100 * share:.1f}".replace("-0.0", "0.0")
