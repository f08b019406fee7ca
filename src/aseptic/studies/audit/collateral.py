"""What a goal about one finding does to the other findings of the same images."""

from collections.abc import Iterator

import numpy as np

from aseptic.core.record import Finding, finding
from aseptic.metrics.bootstrap import SHARE, Resample, mean
from aseptic.studies.audit.answers import CLEAN, Table
from aseptic.studies.audit.settings import AuditSettings


def collateral_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield, for every finding but the goal's, how often its decision changes along; nothing for other goals.

    Counted are the images that the strongest attack brought to the goal at the reference budget: an attacker who
    wants to stay unseen changes nothing else.
    """
    aim = settings.goal.partition(":")[2]
    if table.task != "multilabel" or aim not in table.classes:
        return
    before, after = table[CLEAN], table.attacked(settings.strongest, settings.reference)
    brought = before.eligible & ~before.success & after.success
    changed = np.asarray(before.predictions.decisions != after.predictions.decisions, dtype=float)
    changed = np.where(brought[:, None], changed, np.nan)
    for column, name in enumerate(table.classes):
        if name == aim:
            continue
        yield finding(
            f"collateral.{name}@{settings.reference:g}",
            f"Images brought to the goal ({settings.goal}) whose decision on {name} changed along",
            method=settings.strongest,
            metric="changed",
            estimate=mean(changed[:, column], sample, SHARE).estimate,
            args={"class": name, "goal": settings.goal, "grey_levels": settings.reference},
        )
