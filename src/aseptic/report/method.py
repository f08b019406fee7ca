"""The threat model in words, and what the page does not show."""

from collections.abc import Mapping, Sequence

from aseptic.core.record import Finding, Results
from aseptic.report import words
from aseptic.report.keys import Entry, greys, names, pick
from aseptic.report.wording import Wording

NORMS = {
    "linf": "no pixel of the image changes by more than the stated number of grey levels (of 255)",
    "l2": "the Euclidean length of the whole change stays within the budget",
    "l1": "the sum of all changes stays within the budget",
}
"""Norm to what it allows."""
HIDDEN = "Poisoned training data and hidden triggers were not looked for by these attacks."
ONE_TRIGGER = "Of hidden triggers only the suspected one was tried; training data was not looked at."
"""Said instead where a trigger was tried."""
SCANNED = (
    "Hidden triggers were looked for by scanners, each of which is blind to some; training data was not looked at."
)
"""Said instead where scanners looked for triggers."""
LIMITS = (
    (
        "An attack gives a lower bound. A stronger or differently aimed attack may do more harm; a model that "
        "withstands these attacks is not thereby safe."
    ),
    (
        "The attacker here knows the model. The numbers do not say how likely such an attacker is, nor what one "
        "without the weights could do."
    ),
    (
        "The change is made to the digital image. Changes to the patient, the scanner or the reconstruction were not "
        "tried."
    ),
    (
        "The numbers hold for these images. Another scanner, hospital or population may give others; performance on "
        "untouched images is not evidence of clinical benefit."
    ),
    ("The 95 % intervals cover the choice of images, not the random start of an attack, nor training the model again."),
    "An explanation map shows what the score is sensitive to, not why the model decides as it does.",
    HIDDEN,
)
"""What no audit of this kind shows."""
FEW = 100
"""Images below which the page warns that intervals are wide."""


def threat(sections: Mapping[str, Sequence[Entry]], wording: Wording) -> list[str]:
    """Return the threat model, one sentence a line; empty where nothing was attacked."""
    return [*_evasion(sections, wording), *([PLANTED] if sections["infection"] or sections["scan"] else [])]


PLANTED = (
    "The backdoor: whoever trained the model, or could touch its training data, may have planted it. To open it, an "
    "attacker only has to bring the trigger into an image."
)


def _evasion(sections: Mapping[str, Sequence[Entry]], wording: Wording) -> list[str]:
    entries = sections["curve"]
    if not entries:
        return []
    norms = dict.fromkeys(str(e.finding.args.get("norm", "linf")) for e in entries)
    rules = "; ".join(NORMS.get(norm, f"the change is bounded in the {norm} norm") for norm in norms)
    sizes = greys(entries)
    goals = dict.fromkeys(goal(str(e.finding.args["goal"]), wording.aim) for e in entries if "goal" in e.finding.args)
    return [
        "What the attacker knows: everything. The attacker holds the weights and computes gradients (white box).",
        f"What the attacker changes: the digital image, between acquisition and the model; {rules}.",
        f"How much: {', '.join(f'{size:g}' for size in sizes)} grey levels.",
        *(f"What the attacker wants: {wanted}." for wanted in goals),
        f"How: {'; '.join(_attack(name, sections) for name in names(entries) if name != words.WORST)}.",
        *_further(sections),
        *([wording.worst] if words.WORST in names(entries) else []),
        *([CONTROL] if sections["noise"] else []),
    ]


CONTROL = (
    "The control: the same perturbation with its pixels shuffled within each image. It has the same size and the "
    "same histogram, but no aim; what it costs is the cost of noise, not of the attack."
)


def goal(text: str, untargeted: str = "any wrong decision") -> str:
    """Return an attacker's goal, as it is written in a configuration, in words.

    >>> goal("untargeted"), goal("suppress:Mass")
    ('any wrong decision', 'that Mass is no longer found')
    """
    kind, _, name = text.partition(":")
    told = {
        "reach": "the decision {}",
        "suppress": "that {} is no longer found",
        "inject": "that {} is found",
        "erase": "that {} is no longer found",
        "relabel": "that one structure is taken for another ({})",
    }
    return untargeted if text == "untargeted" else told[kind].format(name) if kind in told else text


def _attack(name: str, sections: Mapping[str, Sequence[Entry]]) -> str:
    args = pick(sections["curve"], name=name)[0].finding.args
    said = [f"{key.replace('_', ' ')} {args[key]}" for key in sorted(args) if key not in _SAID]
    return words.attack_name(name) + (f" ({', '.join(said)})" if said else "")


def _further(sections: Mapping[str, Sequence[Entry]]) -> list[str]:
    """Return which attacks were run at one budget only, and which of them saw no gradients."""
    curve, probes = names(sections["curve"]), pick(sections["probe"], metric="turned")
    asked = {e.name: e.finding.args["queries"] for e in probes if "queries" in e.finding.args}
    climbed = [words.attack_name(e.name) for e in probes if e.name not in curve and e.name not in asked]
    lines = []
    if climbed:
        lines.append(f"Also, at {words.grey(probes[0].grey)} only: {', '.join(climbed)}.")
    if asked:
        told = ", ".join(f"{words.attack_name(name)} (at most {limit} questions)" for name, limit in asked.items())
        lines.append(f"Without gradients, at {words.grey(probes[0].grey)} only: {told}.")
    return lines


_SAID = frozenset({"attack", "grey_levels", "norm", "goal"})


def techniques(findings: Sequence[Finding]) -> list[str]:
    """Return the MITRE ATLAS techniques that the findings belong to, with their names."""
    found = sorted({finding.threat for finding in findings if finding.threat})
    return [f"{name} ({words.ATLAS[name]})" if name in words.ATLAS else name for name in found]


def limits(results: Results) -> list[str]:
    """Return what the numbers do not show, the general first and then what is particular to this run."""
    tried = any(finding.id.startswith("infection.") for finding in results.findings)
    looked = any(finding.id.startswith("scan.") for finding in results.findings)
    said = SCANNED if looked else ONE_TRIGGER if tried else HIDDEN
    lines = [said if line == HIDDEN else line for line in LIMITS]
    images = results.data.get("n_used", results.data.get("n"))
    if isinstance(images, int) and images < FEW:
        lines.append(f"Only {images} images were used: the intervals are wide, and rare failures are not seen.")
    if not results.data.get("patients"):
        lines.append(
            "Patients are not identified in the data, so every image counts as its own patient; if several images "
            "show one patient, the true intervals are wider."
        )
    return lines
