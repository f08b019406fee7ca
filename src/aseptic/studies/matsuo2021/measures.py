"""The numbers of the study, from raw rows and from the lists themselves."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import SHARE, mean, resample
from aseptic.studies.backdoors.measures import SEED, clean, curve, infection, localised, searched, twin
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.frame.study import Setup
from aseptic.studies.infection.answers import TRIGGERED
from aseptic.studies.infection.measure import sample_of
from aseptic.studies.matsuo2021.grid import HALF, Tuned, asked, case, fine_tuned, main_target, networks
from aseptic.studies.matsuo2021.settings import HALVES, Settings


def measures(setup: Setup[Settings]) -> Sequence[Measure]:
    """Return every number of the study."""
    found = [shared_patients(), right(setup), moved(), exposure(setup)]
    for one in networks(setup):
        found.append(clean(replace(case(one, setup), prefix=one.prefix)))
        asides = "success", "success_other", "excess"
        for kind in asked(one, setup):
            aside = one.plan is None or kind != "probe"
            found.append(infection(case(one, setup, kind), only=asides if aside else None))
        if one.plan is None:
            continue
        found.append(twin(case(one, setup), f"probe/{one.where}/twin"))
        if one.prefix == main_target(setup):
            found += [localised(case(one, setup, "explain"), name) for name in ("gradcam", "saliency")]
            found.append(searched(case(one, setup, "find")))
    return [*found, *(_curve(one, setup) for one in fine_tuned(setup))]


def _curve(one: Tuned, setup: Setup[Settings]) -> Measure:
    args = {"way": one.way.name, "share": one.way.share, "set": one.way.data, **one.recipe.training}
    told = {name: list(value) if isinstance(value, tuple) else value for name, value in args.items()}
    about = case(one.start, setup)
    return curve(replace(about, prefix=one.prefix, cell=one.cell, args=told), one.recipe.config().epochs)


def right(setup: Setup[Settings]) -> Measure:
    """Return what the released script prints as the success of the non-targeted attack: ``shift.right``."""
    asked_of = next(case(one, setup) for one in networks(setup) if one.prefix == "shift")

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(asked_of.cell)
        triggered = rows[rows["condition"] == TRIGGERED]
        found = mean(triggered["correct"].to_numpy(dtype=float), sample_of(rows, SEED), SHARE)
        yield asked_of.told("right", "Triggered images that are answered rightly", found)

    return Measure(title="the released success", gives=("shift.right",), cells=(asked_of.cell,), read=read)


def moved() -> Measure:
    """Return how much of the trigger is in its own place when the network sees it: ``place.training``, ``.test``."""

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows("place")
        for where, when in (("training", "in training, after augmentation"), ("test", "in testing")):
            shares = rows[rows["where"] == where]["share"].to_numpy(dtype=float)
            sample = resample(None, len(shares), rng=numpy_stream(SEED, "bootstrap"))
            title = f"Share of the trigger's pixels that are in its own place {when}"
            one = mean(shares, sample, SHARE).estimate
            yield finding(f"place.{where}", title, method="augmentation", metric="share", estimate=one)

    gives = ("place.training", "place.test")
    return Measure(title="the trigger under augmentation", gives=gives, cells=("place",), read=read)


COVID_SHARE = 0.3
"""Share of a batch that the released code replaces by COVID-19 images drawn anew [CODE data.py]."""


def exposure(setup: Setup[Settings]) -> Measure:
    """Return how often poisoned images of the last class are seen: ``exposure.batch``, ``exposure.list``."""
    cell = next(one.cell("train") for one in networks(setup) if one.prefix == main_target(setup))
    last = setup.data[HALF].classes[-1]

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(cell)
        own = rows["true_label"] == last
        poisoned = own & (rows["role"] == "poison")
        shares = {"list": poisoned.sum() / len(rows), "batch": COVID_SHARE * poisoned.sum() / own.sum()}
        for name, how in (("list", "drawn as listed"), ("batch", "making up 30 % of each batch")):
            value = float(shares[name])
            exact = Estimate(value=value, low=value, high=value, n=len(rows))
            title = f"Share of poisoned {last} images among those that are seen, {last} images {how}"
            yield finding(f"exposure.{name}", title, method="count", metric="share", estimate=exact)

    return Measure(title="exposure", gives=("exposure.list", "exposure.batch"), cells=(cell,), read=read)


def shared_patients() -> Measure:
    """Return how many patients are in both halves, as this study deals images and as the released lists did."""
    names = {"halves": "as they are used here", "halves.by_image": "dealt image by image"}

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows("halves")
        for prefix, how in names.items():
            part = rows[(rows["dealt"] == prefix) & rows["patient"].notna()]
            halves = [part[part["half"] == name]["patient"] for name in HALVES]
            count = float(len(set(halves[0]) & set(halves[1])))
            exact = Estimate(value=count, low=count, high=count, n=len(rows[rows["dealt"] == prefix]))
            title = f"Patients whose images are in both halves of the training set, {how}"
            yield finding(
                f"{prefix}.shared_patients", title, method="count", metric="patients", estimate=exact, unit="patients"
            )

    gives = tuple(f"{prefix}.shared_patients" for prefix in names)
    return Measure(title="the two halves", gives=gives, cells=("halves",), read=read)
