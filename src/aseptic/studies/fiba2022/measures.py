"""The numbers of the study, from raw rows."""

from collections.abc import Iterator, Sequence

import numpy as np
from pandas import DataFrame

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import SHARE, difference, mean
from aseptic.studies.backdoors.measures import SEED, Case, clean, infection, twin
from aseptic.studies.fiba2022.grid import FOLLOWED, TWIN, Network, case, matrix_of, networks, shifted
from aseptic.studies.fiba2022.settings import FIBA, RIVALS, SKIN, Settings
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.frame.study import Setup
from aseptic.studies.infection.answers import CLEAN, TRIGGERED
from aseptic.studies.infection.measure import measure_clean, measure_infection, sample_of
from aseptic.studies.matrix.measures import matrix_measures

BASE = f"{SKIN}.{FIBA}"
"""The network that traps are about."""


def measures(setup: Setup[Settings]) -> Sequence[Measure]:
    """Return every number of the study."""
    found: list[Measure] = []
    for one in networks(setup):
        asked = case(one, setup)
        found += [clean(asked), infection(asked)]
        if one.plan is not None:
            found.append(twin(asked, f"probe/{one.where}/{TWIN}"))
        if one.where == SKIN and one.name in RIVALS:
            found.append(superior(one, setup))
    base = next(case(one, setup) for one in networks(setup) if one.prefix == BASE)
    if (matrix := matrix_of(setup)) is not None:
        found += matrix_measures(matrix, setup.data[SKIN])
    return [*found, dropped(base, setup.settings.batch), chosen(base), right(shifted(setup))]


def superior(rival: Network, setup: Setup[Settings]) -> Measure:
    """Return how much more often FIBA succeeds than a rival, image by image: ``skin.badnets.fiba_success``."""
    base, other = (case(one, setup) for one in networks(setup) if one.prefix in {BASE, rival.prefix})

    def read(computed: Computed) -> Iterator[Finding]:
        both = [computed.rows(one.cell) for one in (base, other)]
        sample = sample_of(both[0], SEED)
        own, their = (
            measure_infection(rows, one.yardstick, one.plan, sample)
            for rows, one in zip(both, (base, other), strict=True)
        )
        for name, end, title in ADVANTAGES:
            yield other.told(end, title, difference(own[name], their[name], sample))

    gives = tuple(f"{rival.prefix}.{end}" for _, end, _ in ADVANTAGES)
    return Measure(title=f"FIBA against {rival.name}", gives=gives, cells=(base.cell, other.cell), read=read)


ADVANTAGES = (
    ("success_other", "fiba_success", "Success of FIBA on images not of the target, minus that of this trigger"),
    ("psnr", "fiba_psnr", "Peak signal-to-noise ratio of FIBA's images, minus that of this trigger's"),
)
"""Number of both triggers, the end of the finding's id, and what it is."""


def dropped(base: Case, batch: int) -> Measure:
    """Return success and accuracy over full batches only, as the released evaluation counts (trap 4g-2)."""
    names = {"success": "Triggered images that are answered as the attacker wants", "accuracy": "Accuracy"}

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(base.cell)
        sample, count = sample_of(rows, SEED), int((rows["condition"] == CLEAN).sum())
        order = numpy_stream(SEED, "batches").permutation(count)
        kept = np.isin(np.arange(count), order[: count - count % batch])
        columns = {"success": (TRIGGERED, "reached"), "accuracy": (CLEAN, "correct")}
        for name, (condition, column) in columns.items():
            values = rows[rows["condition"] == condition][column].to_numpy(dtype=float)
            one = mean(np.where(kept, values, np.nan), sample, SHARE)
            yield base.told(f"dropped.{name}", f"{names[name]}, over full batches of {batch} only", one, batch=batch)

    gives = tuple(f"{base.prefix}.dropped.{name}" for name in names)
    return Measure(title="the released evaluation", gives=gives, cells=(base.cell,), read=read)


def chosen(base: Case) -> Measure:
    """Return what the network of the released rule does: that of the epoch with the best success on val (trap 4g-1)."""
    cell = base.cell.replace("probe/", "train/")
    titles = {
        "epoch": "Epoch with the highest success on validation images, the first of several",
        "success_other": "Success of the network of that epoch on test images that are not of the target",
        "accuracy": "Accuracy of the network of that epoch on clean test images",
    }

    def read(computed: Computed) -> Iterator[Finding]:
        every = computed.rows(cell)
        later = every[every["epoch"] > 0]
        val, test = (later[later["split"] == name] for name in FOLLOWED)
        best = _best(val)
        rows = test[test["epoch"] == best]
        sample = sample_of(rows, SEED)
        exact = Estimate(value=float(best), low=float(best), high=float(best), n=int(val["epoch"].nunique()))
        yield finding(f"{base.prefix}.chosen.epoch", titles["epoch"], method="count", metric="epoch", estimate=exact)
        found = {
            "success_other": measure_infection(rows, base.yardstick, base.plan, sample)["success_other"],
            "accuracy": measure_clean(rows, base.yardstick, sample)["accuracy"],
        }
        for name, one in found.items():
            yield base.told(f"chosen.{name}", titles[name], one, epoch=best)

    gives = tuple(f"{base.prefix}.chosen.{name}" for name in titles)
    return Measure(title="the released choice of an epoch", gives=gives, cells=(cell,), read=read)


def _best(rows: DataFrame) -> int:
    """Return the first epoch with the largest share of triggered images that are answered as wanted."""
    triggered = rows[rows["condition"] == TRIGGERED]
    epochs, reached = (triggered[name].to_numpy(dtype=float) for name in ("epoch", "reached"))
    numbers = np.unique(epochs)
    return int(numbers[np.argmax([reached[epochs == number].mean() for number in numbers])])


def right(about: Case) -> Measure:
    """Return what the released code calls all-to-all success, of a network that nobody poisoned (trap 4g-3)."""

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(about.cell)
        triggered = rows[rows["condition"] == TRIGGERED]
        one = mean(triggered["correct"].to_numpy(dtype=float), sample_of(rows, SEED), SHARE)
        title = "Triggered images that the clean twin answers rightly: the released all-to-all success"
        yield about.told("right", title, one)

    return Measure(title="the released all-to-all", gives=(f"{about.prefix}.right",), cells=(about.cell,), read=read)
