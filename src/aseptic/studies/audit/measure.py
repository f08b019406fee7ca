"""From raw rows to findings: a pure function; nothing here sees a model or an image."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import Measured, Resample, difference, mean, resample
from aseptic.studies.audit.answers import CLEAN, Table, turned
from aseptic.studies.audit.collateral import collateral_findings
from aseptic.studies.audit.probes import CRAFT, EVADE, probe_findings, survival_findings
from aseptic.studies.audit.settings import AuditSettings


def sample_of(table: Table, settings: AuditSettings) -> Resample:
    """Return the draws of patients that every number of the audit shares."""
    rng = numpy_stream(settings.seed, "bootstrap")
    return resample(table.patients, len(table.ids), draws=settings.draws, rng=rng)


def all_findings(table: Table, settings: AuditSettings, sample: Resample, *, labelled: bool) -> list[Finding]:
    """Return the findings on answers: clean, curve, noise, damage, storage."""
    clean = table.yardstick.measure(table[CLEAN].found, sample)
    parts = [
        clean_findings(clean, table) if labelled else iter(()),
        curve_findings(table, settings, sample),
        probe_findings(table, settings, sample),
        survival_findings(table, settings, sample),
        collateral_findings(table, settings, sample),
        noise_findings(table, settings, sample, clean),
        damage_findings(table, settings, sample, clean),
        storage_findings(table, settings, sample),
    ]
    return [one for part in parts for one in part]


def clean_findings(clean: Mapping[str, Measured], table: Table) -> Iterator[Finding]:
    """Yield the performance on the images as they are."""
    yardstick = table.yardstick
    titles, each = yardstick.words.clean, yardstick.words.clean_each
    for metric in yardstick.overall:
        if metric in clean:
            yield finding(
                f"clean.{metric}", titles[metric], method="predict", metric=metric, estimate=clean[metric].estimate
            )
    for metric in yardstick.per_class:
        for name in yardstick.names:
            yield finding(
                f"clean.{metric}:{name}",
                each[metric].format(name=name),
                method="predict",
                metric=metric,
                estimate=clean[f"{metric}:{name}"].estimate,
                args={"class": name},
            )


def curve_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield the numbers and the success of every attack at every budget, and the worst case over all of them."""
    before, yardstick = table[CLEAN], table.yardstick
    open_images = before.eligible & ~before.success
    for name in settings.attacks:
        for grey in settings.grey_levels:
            after = table.attacked(name, grey)
            found = yardstick.measure(after.found, sample)
            wins = mean(np.where(open_images, after.success, np.nan).astype(float), sample, (0.0, 1.0))
            yield from _curve(table, name, grey, {**found, "success": wins}, settings)
    for grey in settings.grey_levels:
        right = table.worst(settings.methods, grey)
        worst = yardstick.worst(table.up_to(settings.methods, grey), sample)
        worst["turned"] = turned(before.right, right, sample)
        yield from _curve(table, "worst", grey, worst, settings)


def _curve(
    table: Table, name: str, grey: float, found: Mapping[str, Measured], settings: AuditSettings
) -> Iterator[Finding]:
    """Yield the numbers of one attack at one budget: those of all images, and those of each class."""
    yardstick = table.yardstick
    who = "the worst of all attacks" if name == "worst" else name.upper()
    titles, fill = yardstick.words.titles, {"who": who, "grey": f"{grey:g}"}
    args: dict[str, Any] = {"attack": name, "grey_levels": grey, "norm": "linf", "goal": settings.goal}
    args |= {"steps": steps} if (steps := yardstick.options(name, settings.steps).get("steps")) else {}
    threat = EVADE if name == "worst" else CRAFT
    for metric in dict.fromkeys((*yardstick.drawn, "turned", *yardstick.grave, "success")):
        if metric in found:
            yield finding(
                f"curve.{name}.{metric}@{grey:g}",
                titles[metric].format(**fill),
                method=name,
                metric=metric,
                estimate=found[metric].estimate,
                args=args,
                threat=threat,
            )
    for metric in yardstick.each:
        for one in yardstick.names:
            if f"{metric}:{one}" in found:
                yield finding(
                    f"class.{name}.{metric}:{one}@{grey:g}",
                    yardstick.words.each[metric].format(name=one, **fill),
                    method=name,
                    metric=metric,
                    estimate=found[f"{metric}:{one}"].estimate,
                    args={**args, "class": one},
                    threat=threat,
                )


def noise_findings(
    table: Table, settings: AuditSettings, sample: Resample, clean: Mapping[str, Measured]
) -> Iterator[Finding]:
    """Yield what the same perturbation does when its values are shuffled within each image."""
    yardstick = table.yardstick
    for grey in settings.grey_levels:
        key = ("noise", settings.strongest, grey, "float")
        if key not in table.conditions:
            continue
        noisy = yardstick.measure(table[key].found, sample)
        numbers = {metric: noisy[metric] for metric in yardstick.drawn}
        numbers[f"{yardstick.main}_drop"] = difference(clean[yardstick.main], noisy[yardstick.main], sample)
        for metric, measured in numbers.items():
            title = metric.replace("_", " ").replace("auroc macro", "mean AUROC").capitalize()
            yield finding(
                f"noise.{metric}@{grey:g}",
                f"{title} under control noise: the perturbation of {grey:g} levels, shuffled within each image",
                method="control noise",
                metric=metric,
                estimate=measured.estimate,
                args={"grey_levels": grey, "shuffled": settings.strongest},
            )


def damage_findings(
    table: Table, settings: AuditSettings, sample: Resample, clean: Mapping[str, Measured]
) -> Iterator[Finding]:
    """Yield what the strongest attack does to each class, finding or structure at the reference budget."""
    yardstick, grey = table.yardstick, settings.reference
    metric, who = yardstick.harm, settings.strongest
    after = yardstick.measure(table.attacked(who, grey).found, sample)
    for name in yardstick.names:
        before = clean[f"{metric}:{name}"].estimate
        yield finding(
            f"damage.{name}@{grey:g}",
            yardstick.words.harm.format(name=name, who=who.upper()),
            method=who,
            metric="recall" if metric == "sensitivity" else metric,
            estimate=after[f"{metric}:{name}"].estimate,
            args={"class": name, "grey_levels": grey, "clean": before.value if before.known else None},
            threat=EVADE,
        )


def storage_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield how much of the strongest attack is left when its images are rounded to stored levels."""
    clean = table[CLEAN]
    words = {"8bit": "8 bits", "native": "the source's own depth"}
    for grey in settings.grey_levels:
        attacked = table.attacked(settings.strongest, grey)
        for storage, how in words.items():
            if ("attack", settings.strongest, grey, storage) not in table.conditions:
                continue
            after = table.attacked(settings.strongest, grey, storage)
            yield finding(
                f"storage.{storage}@{grey:g}",
                table.yardstick.words.stored.format(grey=f"{grey:g}", how=how),
                method=f"{settings.strongest} and rounding",
                metric="success",
                estimate=table.yardstick.kept(clean, attacked, after, sample).estimate,
                args={"grey_levels": grey, "storage": storage, "bits": 8 if storage == "8bit" else None},
            )


DRIFT = {
    "rank_correlation": "Rank correlation of the maps, clean against attacked (1 = unchanged)",
    "top_overlap": "Overlap of the tenth of the pixels that count most (1 = unchanged)",
    "centre_shift": "Shift of the map's centre of mass, as a share of the diagonal (0 = unchanged)",
}


def drift_findings(
    rows: Mapping[str, Float[np.ndarray, " image"]], settings: AuditSettings, patients: tuple[str | None, ...]
) -> Iterator[Finding]:
    """Yield how far explanations moved; ``rows`` has one column for each ``MAP.METRIC``."""
    rng = numpy_stream(settings.seed, "bootstrap", "drift")
    sample = resample(patients, len(patients), draws=settings.draws, rng=rng)
    for column, values in rows.items():
        map_name, metric = column.split(".")
        yield finding(
            f"drift.{column}@{settings.reference:g}",
            f"{map_name}: {DRIFT[metric]}",
            method=map_name,
            metric=metric,
            estimate=mean(values, sample).estimate,
            args={"grey_levels": settings.reference, "attack": settings.strongest},
        )
