"""From raw rows to findings: a pure function; nothing here sees a model or an image."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from jaxtyping import Float

from aseptic.core.estimate import Estimate
from aseptic.core.record import Finding, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import Measured, Resample, difference, mean, resample
from aseptic.metrics.summary import measure
from aseptic.studies.audit.answers import CLEAN, Answers, Table, restored, share, turned
from aseptic.studies.audit.collateral import collateral_findings
from aseptic.studies.audit.probes import CRAFT, EVADE, probe_findings, survival_findings
from aseptic.studies.audit.settings import AuditSettings

WHAT = {
    "multiclass": {"accuracy": "share of images whose class is decided rightly"},
    "multilabel": {"accuracy": "share of known findings that are decided rightly"},
}
CLEAN_METRICS = ("accuracy", "exact_match", "balanced_accuracy", "auroc_macro", "ece", "brier", "nll")
PER_CLASS = ("auroc", "sensitivity", "specificity")


def sample_of(table: Table, settings: AuditSettings) -> Resample:
    """Return the draws of patients that every number of the audit shares."""
    rng = numpy_stream(settings.seed, "bootstrap")
    return resample(table.patients, len(table.ids), draws=settings.draws, rng=rng)


def all_findings(table: Table, settings: AuditSettings, sample: Resample, *, labelled: bool) -> list[Finding]:
    """Return the findings on answers: clean, curve, noise, damage, storage."""
    clean = _named(table[CLEAN], sample)
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


def _named(answers: Answers, sample: Resample) -> dict[str, Measured]:
    """Return what is measured, with ``accuracy`` counted over findings for a multi-label model."""
    found = measure(answers.predictions, sample)
    if "accuracy_findings" in found:
        found["exact_match"] = found["accuracy"]
        found["accuracy"] = found.pop("accuracy_findings")
    return found


def clean_findings(clean: Mapping[str, Measured], table: Table) -> Iterator[Finding]:
    """Yield the performance on the images as they are."""
    for metric in CLEAN_METRICS:
        if metric in clean:
            title = WHAT[table.task].get(metric, metric.replace("_", " "))
            yield finding(
                f"clean.{metric}", f"Clean {title}", method="predict", metric=metric, estimate=clean[metric].estimate
            )
    for metric in PER_CLASS:
        for name in table.classes:
            yield finding(
                f"clean.{metric}:{name}",
                f"Clean {metric} of {name} at the operating point" if metric != "auroc" else f"Clean AUROC of {name}",
                method="predict",
                metric=metric,
                estimate=clean[f"{metric}:{name}"].estimate,
                args={"class": name},
            )


def curve_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield accuracy, AUROC and success of every attack at every budget, and the worst case over all of them."""
    before = table[CLEAN]
    open_images = before.eligible & ~before.success
    for name in settings.attacks:
        for grey in settings.grey_levels:
            after = table.attacked(name, grey)
            found = _named(after, sample)
            wins = mean(np.where(open_images, after.success, np.nan).astype(float), sample, (0.0, 1.0))
            numbers = {"accuracy": found["accuracy"], "auroc_macro": found["auroc_macro"], "success": wins}
            for metric, measured in numbers.items():
                yield _curve(name, metric, grey, measured.estimate, settings)
    for grey in settings.grey_levels:
        right = table.worst(settings.methods, grey)
        known = (~np.isnan(right)).astype(float)
        worst = {"accuracy": share(right, known, sample), "turned": turned(before.right, right, sample)}
        for metric, measured in worst.items():
            yield _curve("worst", metric, grey, measured.estimate, settings)


TITLES = {
    "accuracy": "{what} under {who} within {grey:g} grey levels",
    "auroc_macro": "Mean AUROC of the images that {who} made within {grey:g} grey levels",
    "success": "Images that {who} brought to the goal within {grey:g} grey levels, of those not there before",
    "turned": "Right decisions that {who} turned wrong within {grey:g} grey levels",
}


def _curve(name: str, metric: str, grey: float, estimate: Estimate, settings: AuditSettings) -> Finding:
    who = "the worst of all attacks" if name == "worst" else name.upper()
    what = "Right decisions"
    args: dict[str, Any] = {"attack": name, "grey_levels": grey, "norm": "linf", "goal": settings.goal}
    if name == "pgd":
        args["steps"] = settings.steps
    return finding(
        f"curve.{name}.{metric}@{grey:g}",
        TITLES[metric].format(what=what, who=who, grey=grey),
        method=name,
        metric=metric,
        estimate=estimate,
        args=args,
        threat=EVADE if name == "worst" else CRAFT,
    )


def noise_findings(
    table: Table, settings: AuditSettings, sample: Resample, clean: Mapping[str, Measured]
) -> Iterator[Finding]:
    """Yield what the same perturbation does when its values are shuffled within each image."""
    for grey in settings.grey_levels:
        key = ("noise", settings.strongest, grey, "float")
        if key not in table.conditions:
            continue
        noisy = _named(table[key], sample)
        numbers = {
            "accuracy": noisy["accuracy"],
            "auroc_macro": noisy["auroc_macro"],
            "accuracy_drop": difference(clean["accuracy"], noisy["accuracy"], sample),
        }
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
    """Yield what the strongest attack does to each class or finding at the reference budget."""
    metric = "sensitivity" if table.task == "multiclass" else "auroc"
    grey = settings.reference
    after = _named(table.attacked(settings.strongest, grey), sample)
    for name in table.classes:
        before = clean[f"{metric}:{name}"].estimate
        yield finding(
            f"damage.{name}@{grey:g}",
            f"{'Recall' if metric == 'sensitivity' else 'AUROC'} of {name} under {settings.strongest.upper()}",
            method=settings.strongest,
            metric="recall" if metric == "sensitivity" else metric,
            estimate=after[f"{metric}:{name}"].estimate,
            args={"class": name, "grey_levels": grey, "clean": before.value if before.known else None},
            threat=EVADE,
        )


def storage_findings(table: Table, settings: AuditSettings, sample: Resample) -> Iterator[Finding]:
    """Yield how much of the strongest attack is left when its images are rounded to stored levels."""
    clean = table[CLEAN].right
    words = {"8bit": "8 bits", "native": "the source's own depth"}
    for grey in settings.grey_levels:
        attacked = table.attacked(settings.strongest, grey).right
        for storage, how in words.items():
            if ("attack", settings.strongest, grey, storage) not in table.conditions:
                continue
            after = table.attacked(settings.strongest, grey, storage).right
            yield finding(
                f"storage.{storage}@{grey:g}",
                f"Decisions turned wrong within {grey:g} grey levels that stay wrong when stored at {how}",
                method=f"{settings.strongest} and rounding",
                metric="success",
                estimate=restored(clean, attacked, after, sample).estimate,
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
