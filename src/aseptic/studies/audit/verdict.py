"""The verdict: one sentence that follows from the findings, and what makes it doubtful."""

from collections.abc import Mapping, Sequence

from aseptic.core.record import Finding, Severity, Skipped, finding
from aseptic.studies.audit.probes import EVADE
from aseptic.studies.audit.settings import AuditSettings

LIMITS: tuple[tuple[float, Severity], ...] = ((0.5, "critical"), (0.2, "high"), (0.05, "medium"), (0.0, "low"))
"""Lower end of the interval of the share of right decisions turned wrong, and how severe that is."""
NOISE_IS_HARMLESS = 0.03
"""Loss of accuracy under control noise up to which the noise counts as harmless."""

WORDS: Mapping[Severity, str] = {
    "critical": "This model can be fooled.",
    "high": "This model can often be fooled.",
    "medium": "This model can sometimes be fooled.",
    "low": "The attacks that were run rarely fool this model; that is no proof that it cannot be fooled.",
    "info": "Nothing can be said about this model.",
}

NOT_TESTED = (
    Skipped(
        id="backdoor",
        title="Is the model already infected?",
        reason="this version does not scan models or training sets for backdoors",
    ),
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


def percent(value: float | None) -> str:
    """Return a share as a percentage with as many digits as help.

    >>> percent(0.9714), percent(0.0031), percent(None)
    ('97.1 %', '0.3 %', 'not measured')
    """
    return "not measured" if value is None else f"{100 * value:.1f} %"


def severity_of(turned: Finding) -> Severity:
    """Return how severe a share of turned decisions is: by the lower end of its interval, where there is one."""
    at_least = turned.ci_low if turned.ci_low is not None else turned.value
    if at_least is None:
        return "info"
    return next(severity for limit, severity in LIMITS if at_least >= limit)


def verdict(
    findings: Sequence[Finding], settings: AuditSettings, *, labelled: bool, checks: Sequence[Finding]
) -> Finding:
    """Return the finding that stands first on the page."""
    found = {one.id: one for one in findings}
    grey = f"{settings.reference:g}"
    turned, noise = found[f"curve.worst.turned@{grey}"], found.get(f"noise.accuracy_drop@{grey}")
    severity = severity_of(turned)
    span = "" if turned.ci_low is None else f" (95 % interval {percent(turned.ci_low)} to {percent(turned.ci_high)})"
    whose = "right decisions" if labelled else "decisions"
    measured = (
        f"Changing no pixel by more than {grey} of 255 grey levels turns {percent(turned.value)} of its {whose} wrong"
        f"{span}, measured on {turned.n} image{'s' * (turned.n != 1)}."
    )
    sentences = [measured, _noise_sentence(noise)]
    if (clean := found.get("clean.accuracy")) is not None:
        sentences.append(f"Unattacked, {percent(clean.value)} of its decisions are right.")
    storage = found.get(f"storage.8bit@{grey}")
    if storage is not None and storage.value is not None:
        sentences.append(f"Stored as 8-bit images, {percent(storage.value)} of these wrong decisions remain.")
    doubts = [one.title for one in checks if one.severity != "info"]
    if doubts:
        sentences.append("The pre-flight checks raise doubts: " + " ".join(doubts))
    if not labelled:
        sentences.append("The data has no labels: a decision counts as wrong when it differs from the clean one.")
    return finding(
        "verdict",
        WORDS[severity],
        method="worst case over " + ", ".join(settings.methods),
        metric="turned",
        args={"grey_levels": settings.reference, "text": sentences},
        severity=severity,
        threat=EVADE,
    ).model_copy(update={"value": turned.value, "ci_low": turned.ci_low, "ci_high": turned.ci_high, "n": turned.n})


def _noise_sentence(noise: Finding | None) -> str:
    """Return what the control says: harmless, not harmless, or too few images to tell."""
    if noise is None or noise.value is None:
        return "What random noise of the same size does could not be measured."
    span = ""
    if noise.ci_low is not None and noise.ci_high is not None:
        span = f" (95 % interval {100 * noise.ci_low:.1f} to {100 * noise.ci_high:.1f} points)"
    if noise.value <= 0:
        return f"Random noise of the same size costs no accuracy{span}."
    cost = f"costs {100 * noise.value:.1f} points of accuracy{span}"
    if noise.value <= NOISE_IS_HARMLESS:
        return f"Random noise of the same size {cost}."
    if noise.ci_low is not None and noise.ci_low > NOISE_IS_HARMLESS:
        return f"Random noise of the same size {cost} too: the model is fragile, not only attackable."
    return f"Random noise of the same size {cost}: too few images to call it harmless."
