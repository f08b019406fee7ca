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
    before, after = table[CLEAN], table.attacked(settings.strongest, settings.reference)
    brought = before.eligible & ~before.success & after.success
    for name, changed in table.yardstick.changed(before.found, after.found).items():
        yield finding(
            f"collateral.{name}@{settings.reference:g}",
            f"Images brought to the goal ({settings.goal}) whose decision on {name} changed along",
            method=settings.strongest,
            metric="changed",
            estimate=mean(np.where(brought, changed, np.nan), sample, SHARE).estimate,
            args={"class": name, "goal": settings.goal, "grey_levels": settings.reference},
        )
