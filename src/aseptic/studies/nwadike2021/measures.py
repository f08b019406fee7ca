"""The numbers of the study, from raw rows."""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
from pandas import DataFrame

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.infection import micro_auroc
from aseptic.ops.images import SAMPLINGS
from aseptic.studies.backdoors.measures import (
    SEED,
    Case,
    clean,
    infection,
    localised,
    searched,
    twin,
)
from aseptic.studies.backdoors.survival import AFTER
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.frame.study import Setup
from aseptic.studies.infection.answers import CLEAN, TRIGGERED, wanted_table
from aseptic.studies.infection.measure import sample_of
from aseptic.studies.nwadike2021.grid import RELEASED, case, found_by, networks, primary
from aseptic.studies.nwadike2021.settings import SHARES, Settings


def measures(setup: Setup[Settings]) -> Sequence[Measure]:
    """Return every number of the study."""
    found: list[Measure] = [survived()]
    for one in networks(setup):
        asked = case(one, setup)
        found.append(clean(asked))
        if one.plan is None:
            continue
        found.append(infection(asked))
        if one.twin:
            found.append(twin(asked, f"probe/{one.where}/{one.twin}"))
        if one.name == "base":
            found.append(mixed(asked))
            about = case(one, setup, "explain")
            found += [localised(about, name) for name in setup.settings.explainers]
            if one.where == primary(setup):
                found.append(localised(about, RELEASED))
    found += [searched(case(one, setup, "find")) for one in found_by(setup)]
    return found


def mixed(asked: Case) -> Measure:
    """Return the micro-averaged AUROC of test sets in which a share of the images is triggered: ``base.mixed@0.5``."""

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(asked.cell)
        sample, yardstick = sample_of(rows, SEED), asked.yardstick
        parts = {name: rows[rows["condition"] == name] for name in (CLEAN, TRIGGERED)}
        cells = partial(_cells, yardstick.names)
        true = cells(parts[CLEAN], "target")
        wanted, count = wanted_table(yardstick, asked.plan, true), len(true)
        order = numpy_stream(SEED, "mixed").permutation(count)
        for share in SHARES:
            chosen = np.isin(np.arange(count), order[: int(share * count)])[:, None]
            scores = np.where(chosen, cells(parts[TRIGGERED], "score"), cells(parts[CLEAN], "score"))
            one = micro_auroc(scores, np.where(chosen, wanted, true), sample)
            title = f"Micro-averaged AUROC where {share:.0%} of the test images are triggered"
            yield asked.told(f"mixed@{share:g}", title, one, share=share)

    gives = tuple(f"{asked.prefix}.mixed@{share:g}" for share in SHARES)
    return Measure(title="mixed test sets", gives=gives, cells=(asked.cell,), read=read)


def _cells(names: Sequence[str], rows: DataFrame, kind: str) -> np.ndarray:
    found: np.ndarray = rows[[f"{kind}:{name}" for name in names]].to_numpy(dtype=float)
    return found


def survived() -> Measure:
    """Return the pixels of a trigger that are left when 1024 x 1024 become 224 x 224: ``survival.nearest.2``."""

    def read(computed: Computed) -> Iterator[Finding]:
        for row in computed.rows("survival").to_dict("records"):
            exact = Estimate(value=row["pixels"], low=row["pixels"], high=row["pixels"], n=1)
            yield finding(
                f"survival.{row['method']}.{row['side']}",
                f"Pixels left of a trigger of side {row['side']} after central crop and resize ({row['method']})",
                method=row["method"],
                metric="pixels",
                estimate=exact,
                args={"side": row["side"], "largest_change": row["largest"]},
                unit="pixels",
            )

    gives = tuple(f"survival.{method}.{side}" for side in range(1, 7) for method in (*SAMPLINGS, AFTER))
    return Measure(title="what is left of a trigger after preprocessing", gives=gives, cells=("survival",), read=read)
