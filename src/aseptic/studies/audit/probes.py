"""Every attack at the reference budget, side by side: what it reached, what only it reached, and what it asked."""

from collections.abc import Iterator

import numpy as np

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.metrics.bootstrap import Resample, mean
from aseptic.metrics.survival import survival
from aseptic.studies.audit.answers import CLEAN, Table, share, turned
from aseptic.studies.audit.battery import query_only
from aseptic.studies.audit.settings import AuditSettings
from aseptic.studies.yardsticks.base import Right

EVADE = "AML.T0015"
"""MITRE ATLAS: Evade AI Model."""
CRAFT = "AML.T0043.000"
"""MITRE ATLAS: Craft Adversarial Data, White-Box Optimization."""
ASK = "AML.T0043.001"
"""MITRE ATLAS: Craft Adversarial Data, Black-Box Optimization."""
MASKED = 0.02
"""Share of the right decisions turned by attacks that need no gradient, and by them alone, that makes one doubt."""


def probe_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield what each attack reached at the reference budget; nothing where there is one attack only."""
    grey, before = settings.reference, table[CLEAN]
    if len(settings.methods) < 2:  # noqa: PLR2004 - nothing to compare
        return
    for name in settings.methods:
        after = table.attacked(name, grey)
        others = table.worst(tuple(one for one in settings.methods if one != name), grey)
        only = share(others * (1 - after.right), np.nan_to_num(before.right), sample).estimate
        open_images = before.eligible & ~before.success
        wins = mean(np.where(open_images, after.success, np.nan).astype(float), sample, (0.0, 1.0)).estimate
        numbers = {"turned": turned(before.right, after.right, sample).estimate, "only": only, "success": wins}
        measured = table.yardstick.measure(after.found, sample) if table.yardstick.compared else {}
        numbers |= {metric: measured[metric].estimate for metric in table.yardstick.compared}
        for metric, estimate in numbers.items():
            yield _finding(table, name, metric, estimate, settings)
        if not np.isnan(after.queries).all():
            asked = np.where(open_images & np.isfinite(after.queries), after.queries, np.nan)
            yield _finding(table, name, "queries", mean(asked, sample).estimate, settings)
    yield from _doubt(table, settings, sample, before.right)


def survival_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield, for every attack that asks, how many images still stand after so many questions: 1, 2, 5, 10, ..."""
    before = table[CLEAN]
    for name in settings.methods:
        asked = table.attacked(name, settings.reference).queries
        if np.isnan(asked).all():
            continue
        asked = np.where(before.eligible & ~before.success, asked, np.nan)
        for after, estimate in survival(asked, round_numbers(settings.queries), sample).items():
            yield finding(
                f"survival.{name}@{after}",
                f"Images still standing after {after} questions of {name.upper()}, {settings.reference:g} grey levels",
                method=name,
                metric="standing",
                estimate=estimate,
                args={"attack": name, "queries": after, "grey_levels": settings.reference, "goal": settings.goal},
                threat=ASK,
            )


def round_numbers(most: int) -> list[int]:
    """Return 1, 2, 5, 10 and so on up to ``most``, which is the last.

    >>> round_numbers(300)
    [1, 2, 5, 10, 20, 50, 100, 200, 300]
    """
    steps = [digit * 10**power for power in range(len(str(most))) for digit in (1, 2, 5)]
    return [*(step for step in steps if step < most), most]


QUERIES = "Questions that {who} asked of an image until the goal was reached, on average where it was"
"""Title of the number of questions."""


def _finding(table: Table, name: str, metric: str, estimate: Estimate, settings: AuditSettings) -> Finding:
    asks, titles = query_only(name), {**table.yardstick.words.titles, "queries": QUERIES}
    return finding(
        f"probe.{name}.{metric}@{settings.reference:g}",
        titles[metric].format(who=name.upper(), grey=f"{settings.reference:g}"),
        method=name,
        metric=metric,
        estimate=estimate,
        args={
            "attack": name,
            "grey_levels": settings.reference,
            "norm": "linf",
            "goal": settings.goal,
            **({"queries": settings.queries} if asks else {}),
        },
        unit="queries" if metric == "queries" else "",
        threat=ASK if asks else CRAFT,
    )


def _doubt(table: Table, settings: AuditSettings, sample: Resample, before: Right) -> Iterator[Finding]:
    """Yield whether attacks without gradients found what those with gradients missed: a sign of masked gradients."""
    asking = tuple(name for name in settings.methods if query_only(name))
    climbing = tuple(name for name in settings.methods if not query_only(name))
    if not asking or not climbing:
        return
    left = table.worst(climbing, settings.reference)
    missed = share(left * (1 - table.worst(asking, settings.reference)), np.nan_to_num(before), sample).estimate
    masked = missed.known and missed.value > MASKED
    sentence = (
        "Attacks without gradients turned decisions that those with gradients did not: the gradients are probably "
        "masked, and the model is weaker than the curve says."
        if masked
        else "Attacks without gradients found nothing of note that those with gradients missed."
    )
    found = finding(
        f"doubt.masked@{settings.reference:g}",
        sentence,
        method="comparison of attacks",
        metric="check",
        estimate=missed,
        args={"status": "warning" if masked else "ok", "asking": list(asking), "climbing": list(climbing)},
    )
    yield found.model_copy(update={"severity": "medium" if masked else "info"})
