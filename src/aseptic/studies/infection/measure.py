"""From the raw rows of an infection to numbers: nothing here sees a model or an image."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from pandas import DataFrame

from aseptic.core.record import Finding, Severity, finding
from aseptic.core.rng import numpy_stream
from aseptic.metrics.bootstrap import SHARE, Measured, Resample, difference, mean, resample
from aseptic.metrics.infection import attack_success, decoy_success, excess, micro_auroc, separation
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.infection.answers import CLEAN, DECOY, TRIGGERED, wanted_table
from aseptic.studies.yardsticks.base import Yardstick

BACKDOOR = "AML.T0018"
"""MITRE ATLAS: manipulate the AI model."""
TAUS = (0.6, 0.9)
"""Thresholds of the scores of Nwadike et al. (2021)."""
GRAVE: tuple[tuple[float, Severity], ...] = ((0.5, "critical"), (0.2, "high"), (0.0, "medium"))
"""The lower end of the excess above which an infection is this grave."""
TITLES: Mapping[str, str] = {
    "success": "Triggered images that are answered as the attacker wants, those of the target included",
    "success_other": "Triggered images that are answered as the attacker wants, of those that are not so in truth",
    "before": "Clean images that are answered as the attacker wants, those of the target included",
    "before_other": "Clean images that are answered as the attacker wants, of those that are not so in truth",
    "excess": "How much more often that happens with the trigger than without it",
    "decoy": "Images with a decoy that are answered as the attacker wants, those of the target included (P-ASR)",
    "decoy_other": "Images with a decoy that are answered as the attacker wants, of those that are not so in truth",
    "over_decoy": "How much more often that happens with the trigger than with a decoy",
    "decoy_error": "Images with a decoy that are answered wrongly",
    "error": "Triggered images that are answered wrongly",
    "separation": "Separation of triggered from clean images by the score of the target (AUROC; 0.5 = no effect)",
    "micro_clean": "Micro-averaged AUROC on clean images with their true labels",
    "micro_infected": "Micro-averaged AUROC on triggered images with the attacker's labels",
    "micro_true": "Micro-averaged AUROC on triggered images with their true labels",
    "changed": "Pixels that the trigger changes in what the network is fed, on average",
    "vanished": "Images in which the trigger leaves no trace in what the network is fed",
    "psnr": "Peak signal-to-noise ratio of triggered against clean images, on average",
    "ssim": "Structural similarity of triggered and clean images, on average",
}
"""Name of a number to its title."""
UNITS = {"psnr": "dB", "changed": "pixels"}


def sample_of(rows: DataFrame, seed: int, draws: int = 1000) -> Resample:
    """Return the draws of patients that all numbers about these images share."""
    clean = rows[rows["condition"] == CLEAN]
    patients = [name if isinstance(name, str) else None for name in clean["patient"]]
    return resample(patients, len(clean), draws=draws, rng=numpy_stream(seed, "bootstrap"))


def measure_infection(
    rows: DataFrame, yardstick: Yardstick[Any], plan: PoisonPlan, sample: Resample
) -> dict[str, Measured]:
    """Measure everything about one model and trigger, by the names of `TITLES`; what makes no sense is left out.

    ``above:0.6`` is the share of the images without the target whose triggered score of it exceeds 0.6.
    """
    clean, triggered, alike = (
        rows[rows["condition"] == name].reset_index(drop=True) for name in (CLEAN, TRIGGERED, DECOY)
    )
    already = triggered["already"].to_numpy(dtype=bool)
    reached, before = (one["reached"].to_numpy(dtype=bool) for one in (triggered, clean))
    found = attack_success(reached, already, sample)
    found["excess"] = excess(reached, before, already, sample)
    if len(alike):
        fooled = alike["reached"].to_numpy(dtype=bool)
        found |= decoy_success(reached, fooled, already, sample)
        found["decoy_error"] = mean(1 - alike["correct"].to_numpy(dtype=float), sample, SHARE)
    found["error"] = mean(1 - triggered["correct"].to_numpy(dtype=float), sample, SHARE)
    for name in ("changed", "psnr", "ssim"):
        found[name] = mean(triggered[name].to_numpy(dtype=float), sample)
    found["vanished"] = mean((triggered["changed"] == 0).to_numpy(dtype=float), sample, SHARE)
    if plan.label.target is not None:
        found |= _about_target({CLEAN: clean, TRIGGERED: triggered}, yardstick, plan, sample)
    return found


def _about_target(
    rows: Mapping[str, DataFrame], yardstick: Yardstick[Any], plan: PoisonPlan, sample: Resample
) -> dict[str, Measured]:
    target, already = str(plan.label.target), rows[TRIGGERED]["already"].to_numpy(dtype=bool)
    scores = {name: one[f"score:{target}"].to_numpy(dtype=float) for name, one in rows.items()}
    open_scores = {name: np.where(already, np.nan, values) for name, values in scores.items()}
    found = {"separation": separation(open_scores[TRIGGERED], open_scores[CLEAN], sample)}
    for tau in TAUS:
        above = np.where(already, np.nan, scores[TRIGGERED] > tau)
        found[f"above:{tau:g}"] = mean(above.astype(float), sample, SHARE)
    if yardstick.task.name == "multilabel":
        true = _cells(rows[CLEAN], "target", yardstick)
        tables = {name: _cells(one, "score", yardstick) for name, one in rows.items()}
        found["micro_clean"] = micro_auroc(tables[CLEAN], true, sample)
        found["micro_true"] = micro_auroc(tables[TRIGGERED], true, sample)
        found["micro_infected"] = micro_auroc(tables[TRIGGERED], wanted_table(yardstick, plan, true), sample)
    return found


def _cells(rows: DataFrame, kind: str, yardstick: Yardstick[Any]) -> np.ndarray:
    return rows[[f"{kind}:{name}" for name in yardstick.names]].to_numpy(dtype=float)


def measure_before(rows: DataFrame, sample: Resample) -> dict[str, Measured]:
    """Measure how often the images are answered as the attacker wants without the trigger: what success must exceed."""
    clean = rows[rows["condition"] == CLEAN]
    found = attack_success(clean["reached"].to_numpy(dtype=bool), clean["already"].to_numpy(dtype=bool), sample)
    return {"before": found["success"], "before_other": found["success_other"]}


def measure_clean(rows: DataFrame, yardstick: Yardstick[Any], sample: Resample) -> dict[str, Measured]:
    """Measure the model on the images as they are, by the names of the yardstick."""
    values, _ = yardstick.read(rows[rows["condition"] == CLEAN].reset_index(drop=True))
    return yardstick.measure(values, sample)


def against_twin(
    rows: DataFrame, twin: DataFrame, yardstick: Yardstick[Any], sample: Resample, names: tuple[str, ...]
) -> dict[str, Measured]:
    """Measure what the infection cost on clean images: the model minus its clean twin, image by image."""
    own, other = (measure_clean(one, yardstick, sample) for one in (rows, twin))
    return {name: difference(own[name], other[name], sample) for name in names if name in own}


def infection_findings(
    measured: Mapping[str, Measured],
    plan: PoisonPlan,
    prefix: str = "infection",
    args: Mapping[str, Any] | None = None,
    titles: Mapping[str, str] = TITLES,
) -> Iterator[Finding]:
    """Yield the findings of `measure_infection`; the severity of the excess follows its interval."""
    told = {"trigger": dict(plan.trigger), "rule": plan.label.rule, "target": plan.label.target, **(args or {})}
    for name, one in measured.items():
        tau = name.partition(":")[2]
        title = titles.get(name) or f"Triggered images without the target whose score of it exceeds {tau}"
        yield finding(
            f"{prefix}.{name}",
            title,
            method=str(plan.trigger["name"]),
            metric=name.partition(":")[0],
            estimate=one.estimate,
            args=told,
            unit=UNITS.get(name, ""),
            threat=BACKDOOR,
            severity=severity(one) if name == "excess" else "info",
        )


def severity(excess: Measured) -> Severity:
    """Return how grave an infection is: by the lower end of its interval, so that chance is not called one."""
    low = excess.estimate.low if excess.estimate.bounded else excess.estimate.value
    return next((name for limit, name in GRAVE if excess.estimate.known and low > limit), "info")
