"""Numbers of a backdoor, read from the raw rows of cells; every study of one asks for them by cell and prefix."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from pandas import DataFrame

from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import SHARE, Measured, Resample, difference, mean, resample
from aseptic.metrics.infection import micro_auroc
from aseptic.metrics.ranking import measure_auroc, measure_tpr
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.frame.measuring import Computed, Measure
from aseptic.studies.infection.answers import CLEAN, TRIGGERED
from aseptic.studies.infection.dense import is_dense
from aseptic.studies.infection.dense_measure import dense_names
from aseptic.studies.infection.either import numbers_of, words_of
from aseptic.studies.infection.measure import (
    TAUS,
    TITLES,
    infection_findings,
    measure_clean,
    measure_infection,
    sample_of,
)
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.make import make_task

COMMON = ("success", "success_other", "excess", "error", "changed", "psnr", "ssim", "vanished")
DECOYS = ("decoy", "decoy_other", "over_decoy", "decoy_error")
AIMED = ("separation", *(f"above:{tau:g}" for tau in TAUS))
MICRO = ("micro_clean", "micro_true", "micro_infected")
OWN = {
    "multiclass": ("accuracy", "balanced_accuracy", "auroc_macro"),
    "multilabel": ("auroc_macro", "micro"),
    "segmentation": ("dice",),
    "detection": ("map50", "map"),
}
"""What a model is compared with its clean twin by."""
SEED = 0
"""Of the draws that intervals come from, the same for every study."""
WORDS = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "auroc_macro": "Mean AUROC of the classes",
    "micro": "Micro-averaged AUROC",
    "success_other": "Triggered images answered as the attacker wants, of those that are not so in truth,",
    "error": "Triggered images answered wrongly",
    "dice": "Mean Dice of the structures",
    "map50": "mAP at overlap 0.5",
    "map": "mAP over overlaps 0.5 to 0.95",
}


@dataclass(frozen=True, kw_only=True)
class Case:
    """One model and one trigger that a study asks about."""

    prefix: str
    """Begins the ids of its findings."""
    cell: str
    """Name of the cell whose rows are read."""
    data: ImageSet
    """The images that were asked about; only their task and classes are looked at."""
    plan: PoisonPlan
    """The trigger, and what the attacker wants."""
    args: Mapping[str, Any] = field(default_factory=dict)
    """What distinguishes the case, for the record."""
    decoys: bool = False
    """Whether the model was asked about decoys too, where the trigger has any."""

    @property
    def yardstick(self) -> Yardstick[Any]:
        """What models of the task are measured by."""
        return yardstick_of(make_task(str(self.data.task), self.data.classes))

    @property
    def names(self) -> tuple[str, ...]:
        """What a clean model is measured by; the first is the main one."""
        return OWN[str(self.data.task)]

    def told(self, name: str, title: str, one: Measured, **more: Any) -> Finding:  # noqa: ANN401 - JSON values
        """Return a finding of this case."""
        args, metric = {**self.args, **more}, name.partition(":")[0].partition("@")[0].rpartition(".")[2]
        if name.startswith("twin."):
            metric += "_change"
        return finding(
            f"{self.prefix}.{name}", title, method="predict", metric=metric, estimate=one.estimate, args=args
        )


def infection(case: Case, only: Sequence[str] | None = None) -> Measure:
    """Return everything about one infected model, from a probe, or only some: ``PREFIX.success`` and so on."""
    names = only or _names(case)

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(case.cell)
        found = infected_numbers(case, rows, sample_of(rows, SEED))
        args, titles = dict(case.args), TITLES
        if is_dense(case.yardstick.task):
            said, titles = words_of(case.yardstick.task, case.plan, rows, labelled=True)
            args |= said
        kept = {name: found[name] for name in names}
        yield from infection_findings(kept, case.plan, case.prefix, args, titles)

    gives = tuple(f"{case.prefix}.{name}" for name in names)
    return Measure(title=f"the backdoor of {case.prefix}", gives=gives, cells=(case.cell,), read=read)


def _names(case: Case) -> tuple[str, ...]:
    """Return what is measured of an infected model."""
    decoys = case.decoys and case.plan.made.has_decoy()
    if is_dense(case.yardstick.task):
        return dense_names(case.plan, case.yardstick, decoys=decoys)
    aimed = AIMED if case.plan.label.target is not None else ()
    micro = MICRO if aimed and case.data.task == "multilabel" else ()
    return (*COMMON, *(DECOYS if decoys else ()), *aimed, *micro)


def infected_numbers(case: Case, rows: DataFrame, sample: Resample) -> dict[str, Measured]:
    """Return everything that is measured on the rows of a probe."""
    if is_dense(case.yardstick.task):
        return numbers_of(rows, case.yardstick, case.plan, sample)
    return measure_infection(rows, case.yardstick, case.plan, sample)


def clean(case: Case) -> Measure:
    """Return how good a model is on clean images: ``PREFIX.clean.accuracy`` and so on."""

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(case.cell)
        found = clean_numbers(rows, case.yardstick, sample_of(rows, SEED))
        for name in case.names:
            yield case.told(f"clean.{name}", f"{WORDS[name]} on clean images", found[name])

    gives = tuple(f"{case.prefix}.clean.{name}" for name in case.names)
    return Measure(title=f"{case.prefix} on clean images", gives=gives, cells=(case.cell,), read=read)


def twin(case: Case, twin_cell: str) -> Measure:
    """Return what the poison cost on clean images, against the clean twin: ``PREFIX.twin.accuracy`` and so on."""

    def read(computed: Computed) -> Iterator[Finding]:
        own, other = computed.rows(case.cell), computed.rows(twin_cell)
        sample = sample_of(own, SEED)
        pair = [clean_numbers(rows, case.yardstick, sample) for rows in (own, other)]
        for name in case.names:
            found = difference(pair[0][name], pair[1][name], sample)
            yield case.told(f"twin.{name}", f"{WORDS[name]} on clean images, minus the clean twin's", found)

    gives = tuple(f"{case.prefix}.twin.{name}" for name in case.names)
    cells = (case.cell, twin_cell)
    return Measure(title=f"{case.prefix} against its clean twin", gives=gives, cells=cells, read=read)


def curve(case: Case, epochs: int) -> Measure:
    """Return how backdoor and clean performance move as a model is trained on: ``PREFIX.success_other@3``."""
    dense = is_dense(case.yardstick.task)
    names = ("success_other", *(() if dense else ("error",)), case.names[0])
    words = {**WORDS, **({"success_other": "Places or boxes answered as the attacker wants"} if dense else {})}

    def read(computed: Computed) -> Iterator[Finding]:
        every = computed.rows(case.cell)
        sample = sample_of(every[every["epoch"] == 0], SEED)
        for epoch in range(epochs + 1):
            rows = every[every["epoch"] == epoch]
            found = infected_numbers(case, rows, sample)
            found |= clean_numbers(rows, case.yardstick, sample)
            for name in names:
                yield case.told(f"{name}@{epoch}", f"{words[name]} after {epoch} epochs", found[name], epoch=epoch)
        for name in names:
            yield case.told(f"final.{name}", f"{words[name]} after the last epoch", found[name], epoch=epochs)

    ends = [*(f"{name}@{epoch}" for epoch in range(epochs + 1) for name in names), *(f"final.{name}" for name in names)]
    gives = tuple(f"{case.prefix}.{end}" for end in ends)
    return Measure(title=f"{case.prefix}, epoch by epoch", gives=gives, cells=(case.cell,), read=read)


def clean_numbers(rows: DataFrame, yardstick: Yardstick[Any], sample: Resample) -> dict[str, Measured]:
    """Return what a model is worth on the clean images among the rows of a probe."""
    found = measure_clean(rows, yardstick, sample)
    if yardstick.task.name == "multilabel":
        part = rows[rows["condition"] == CLEAN]
        kinds = ([f"{kind}:{name}" for name in yardstick.names] for kind in ("score", "target"))
        scores, true = (part[columns].to_numpy(dtype=float) for columns in kinds)
        found["micro"] = micro_auroc(scores, true, sample)
    return found


LOCALISED = {
    "hit": "Triggered images whose map peaks on the trigger",
    "overlap": "Overlap (IoU) of the trigger and as many of the map's top pixels, on average",
    "mass": "Share of the map's mass on the trigger, on average",
    "uniform": "Share of the pixels that the trigger covers: the mass of a map that points nowhere",
    "hit_gain": "Maps that peak on the trigger, minus those that peak there without it",
    "mass_gain": "Mass on the trigger, minus that on the same place without it",
}


def localised(case: Case, explainer: str) -> Measure:
    """Return whether an explanation points at the trigger: ``PREFIX.hit:EXPLAINER`` and so on."""

    def read(computed: Computed) -> Iterator[Finding]:
        every = computed.rows(case.cell)
        rows = every[every["explainer"] == explainer]
        parts = {name: rows[rows["condition"] == name] for name in (CLEAN, TRIGGERED)}
        sample = sample_rows(parts[CLEAN])
        with_it, without = (
            {name: mean(parts[condition][name].to_numpy(dtype=float), sample, SHARE) for name in NUMBERS}
            for condition in (TRIGGERED, CLEAN)
        )
        found = with_it | {f"{name}_gain": difference(with_it[name], without[name], sample) for name in ("hit", "mass")}
        for name, one in found.items():
            yield case.told(f"{name}:{explainer}", LOCALISED[name], one, explainer=explainer)

    gives = tuple(f"{case.prefix}.{name}:{explainer}" for name in LOCALISED)
    return Measure(title=f"where {explainer} looks in {case.prefix}", gives=gives, cells=(case.cell,), read=read)


NUMBERS = ("hit", "overlap", "mass", "uniform")
"""Columns of the rows of explanations."""
SEARCHED = {
    "auroc": "Triggered images told from clean ones by the trigger finder (AUROC)",
    "tpr": "Triggered images that the finder catches where it calls 5 % of the clean ones triggered",
    "fooled": "Clean images that follow when a triggered image's suspicious region is pasted into them, on average",
}
FALSE_ALARMS = 0.05


def searched(case: Case) -> Measure:
    """Return how well infected images are found without knowing the trigger: ``PREFIX.finder.auroc`` and so on."""

    def read(computed: Computed) -> Iterator[Finding]:
        rows = computed.rows(case.cell)
        sample = sample_rows(rows)
        infected = (rows["condition"] == TRIGGERED).to_numpy(dtype=float)
        scores = (
            rows["score"].fillna(0.0).to_numpy(dtype=float)
        )  # an image that all carriers agree with is not suspicious
        fooled = np.where(infected == 1, rows["fooled"].to_numpy(dtype=float), np.nan)
        found = {
            "auroc": measure_auroc(scores, infected, sample),
            "tpr": measure_tpr(scores, infected, sample, FALSE_ALARMS),
            "fooled": mean(fooled, sample, SHARE),
        }
        for name, one in found.items():
            yield case.told(f"finder.{name}", SEARCHED[name], one, trigger=case.plan.trigger["name"])

    gives = tuple(f"{case.prefix}.finder.{name}" for name in SEARCHED)
    return Measure(title=f"the trigger finder on {case.prefix}", gives=gives, cells=(case.cell,), read=read)


def sample_rows(rows: DataFrame, draws: int = 1000) -> Resample:
    """Return draws of patients; images whose patient is unknown are drawn by themselves, with all their rows."""
    who = [
        name if isinstance(name, str) else f"image {one}" for name, one in zip(rows["patient"], rows["id"], strict=True)
    ]
    return resample(who, len(rows), draws=draws, rng=numpy_stream(SEED, "bootstrap"))
