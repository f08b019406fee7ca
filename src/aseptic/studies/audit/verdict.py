"""The verdict: one sentence that follows from the findings, and what makes it doubtful."""

from collections.abc import Mapping, Sequence
from typing import Any

from aseptic.core.record import SEVERITIES, Finding, Severity, Skipped, finding
from aseptic.studies.audit.probes import EVADE
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.yardsticks.base import Words, Yardstick, percent

LIMITS: tuple[tuple[float, Severity], ...] = ((0.5, "critical"), (0.2, "high"), (0.05, "medium"), (0.0, "low"))
"""Lower end of the interval of the share of what was right and is lost, and how severe that is."""
NOISE_IS_HARMLESS = 0.03
"""Loss of accuracy under control noise up to which the noise counts as harmless."""

WORDS: Mapping[Severity, str] = {
    "critical": "This model can be fooled.",
    "high": "This model can often be fooled.",
    "medium": "This model can sometimes be fooled.",
    "low": "The attacks that were run rarely fool this model; that is no proof that it cannot be fooled.",
    "info": "Nothing can be said about this model.",
}

NOTHING = "Nothing could be turned: the goal makes sense for no image, or was reached in all of them before the attack."
"""What is said where no image could be won."""

TRAINING_SET = Skipped(
    id="training-set",
    title="Was the model trained on poisoned images?",
    reason="an audit does not see them; `aseptic scan DATA --model MODEL` does",
)
"""What a scan of the model does not look at."""
NOT_TESTED = (
    Skipped(
        id="norms",
        title="Changes that are large but few, shifted, rotated or physical",
        reason="the audit bounds the change of every pixel (linf); other budgets are in the Python interface only",
    ),
    Skipped(
        id="detection",
        title="Would a detector notice the attacked images?",
        reason="this version has no detectors of attacked images",
    ),
)
"""What the audit never looks at; on the page so that silence is not taken for safety."""


def not_scanned(*, tried: bool, served: bool) -> Skipped:
    """Return what is not looked at where no scanner ran.

    Args:
        tried: Whether a suspected trigger was.
        served: Whether scanners serve models of this task.
    """
    first = (
        "only the given trigger was tried, with the answer that was named"
        if tried
        else "no suspected trigger was given (--trigger or --plan)"
    )
    rest = (
        "no scanner was asked to look for backdoors that nobody has named (--scan)"
        if served
        else "scanners serve models of classes and of findings only"
    )
    title = "Is the model infected with another trigger?" if tried else "Is the model already infected?"
    return Skipped(id="backdoor", title=title, reason=f"{first}, and {rest}")


def severity_of(turned: Finding) -> Severity:
    """Return how severe a share of what was right before is: by the lower end of its interval, where there is one."""
    at_least = turned.ci_low if turned.ci_low is not None else turned.value
    if at_least is None:
        return "info"
    return next(severity for limit, severity in LIMITS if at_least >= limit)


def verdict(
    findings: Sequence[Finding],
    settings: AuditSettings,
    yardstick: Yardstick[Any],
    *,
    labelled: bool,
    checks: Sequence[Finding],
) -> Finding:
    """Return the finding that stands first on the page."""
    found, words = {one.id: one for one in findings}, yardstick.words
    grey, main = f"{settings.reference:g}", yardstick.main
    turned, noise = found[f"curve.worst.turned@{grey}"], found.get(f"noise.{main}_drop@{grey}")
    graves = [severity_of(found[f"curve.worst.{metric}@{grey}"]) for metric in yardstick.grave]
    severity = max(graves, key=SEVERITIES.index) if turned.value is not None else "info"
    span = "" if turned.ci_low is None else f" (95 % interval {percent(turned.ci_low)} to {percent(turned.ci_high)})"
    measured = words.turned.format(
        grey=grey,
        share=percent(turned.value),
        span=span,
        whose=words.whose[not labelled],
        effect=yardstick.effect,
        images=f"{turned.n} image{'s' * (turned.n != 1)}",
    )
    sentences = [
        measured if turned.value is not None else NOTHING,
        *yardstick.told(found, grey),
        noise_sentence(noise, words),
    ]
    storage = found.get(f"storage.8bit@{grey}")
    if storage is not None and storage.value is not None:
        sentences.append(words.kept.format(share=percent(storage.value)))
    doubts = [one.title for one in checks if one.severity != "info"]
    if doubts:
        sentences.append("The pre-flight checks raise doubts: " + " ".join(doubts))
    if not labelled:
        sentences.append(words.unlabelled)
    return finding(
        "verdict",
        WORDS[severity],
        method="worst case over " + ", ".join(settings.methods),
        metric="turned",
        args={"grey_levels": settings.reference, "text": sentences},
        severity=severity,
        threat=EVADE,
    ).model_copy(update={"value": turned.value, "ci_low": turned.ci_low, "ci_high": turned.ci_high, "n": turned.n})


def noise_sentence(noise: Finding | None, words: Words) -> str:
    """Return what the control says: harmless, not harmless, or too few images to tell."""
    if noise is None or noise.value is None:
        return "What random noise of the same size does could not be measured."
    span = ""
    if noise.ci_low is not None and noise.ci_high is not None:
        low, high = (f"{100 * end:.1f}".replace("-0.0", "0.0") for end in (noise.ci_low, noise.ci_high))
        span = f" (95 % interval {low} to {high} points)"
    if noise.value <= 0:
        return f"Random noise of the same size costs no {words.lost}{span}."
    cost = f"costs {100 * noise.value:.1f} {words.unit}{span}"
    if noise.value <= NOISE_IS_HARMLESS:
        return f"Random noise of the same size {cost}."
    if noise.ci_low is not None and noise.ci_low > NOISE_IS_HARMLESS:
        return f"Random noise of the same size {cost} too: the model is fragile, not only attackable."
    return f"Random noise of the same size {cost}: too few images to call it harmless."
