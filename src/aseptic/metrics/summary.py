"""Every number that an audit reports about one set of predictions, by name."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.metrics.bootstrap import SHARE, Measured, Resample, average, ratio, resample
from aseptic.metrics.calibration import (
    Cells,
    measure_brier,
    measure_brier_findings,
    measure_ece,
    measure_nll,
    measure_nll_findings,
    top_label,
)
from aseptic.metrics.decisions import (
    measure_accuracy,
    measure_exact,
    measure_sensitivity,
    measure_specificity,
    one_hot,
)
from aseptic.metrics.ranking import measure_auroc

Answers = Int[np.ndarray, " image"] | Float[np.ndarray, "image output"]
"""Class numbers, or findings in {0, 1} with NaN for unknown."""
TASKS = ("multiclass", "multilabel")
"""Tasks that can be summarised."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Predictions:
    """What a model said about images, and what is true.

    Raises:
        InputError: An unknown task, shapes or types that do not belong to it, or scores that are no probabilities.
    """

    task: str
    """``multiclass`` or ``multilabel``."""
    classes: tuple[str, ...]
    """Names of the outputs."""
    scores: Float[np.ndarray, "image output"]
    """Probabilities; in float64 and from float64 logits, so that near 1 they do not become ties."""
    decisions: Answers
    """Decisions at the operating point."""
    targets: Answers
    """The truth."""

    def __post_init__(self) -> None:
        """Check that the parts belong together."""
        if self.task not in TASKS:
            raise InputError(f"task must be one of {', '.join(TASKS)}; got {self.task!r}")
        n, outputs = self.scores.shape
        if outputs != len(self.classes):
            raise InputError(f"scores must have {len(self.classes)} columns, one for each class, got {outputs}")
        wanted = (n,) if self.task == "multiclass" else (n, outputs)
        for name, values in (("decisions", self.decisions), ("targets", self.targets)):
            if values.shape != wanted or (values.dtype.kind == "f") != (self.task == "multilabel"):
                kind = "whole numbers" if self.task == "multiclass" else "floating-point numbers"
                raise InputError(f"{name} must be {kind} {list(wanted)}, got {values.dtype} {list(values.shape)}")
        if not ((self.scores >= 0) & (self.scores <= 1)).all():
            raise InputError("scores must be probabilities in [0, 1], got NaN or values outside")


def measure(predictions: Predictions, sample: Resample) -> dict[str, Measured]:
    """Measure everything on the same draws; what is undefined is there, and not measured.

    Names for both tasks: ``accuracy`` (multilabel: images whose known findings are all right), ``balanced_accuracy``
    (multilabel: mean of sensitivities and specificities), ``auroc_macro``, ``ece``, ``brier``, ``nll``, and for each
    class ``auroc:CLASS``, ``sensitivity:CLASS``, ``specificity:CLASS``. Multilabel adds ``accuracy_findings``.
    """
    if predictions.task == "multiclass":
        return _multiclass(predictions, sample)
    return _multilabel(predictions, sample)


def summarise(
    predictions: Predictions, patients: Sequence[str | None] | None, *, rng: np.random.Generator, draws: int = 1000
) -> dict[str, Estimate]:
    """Return the estimates of `measure`, with a bootstrap by patient of their own.

    Raises:
        InputError: The patients do not match the images.
    """
    sample = resample(patients, len(predictions.scores), draws=draws, rng=rng)
    return {name: found.estimate for name, found in measure(predictions, sample).items()}


def _multiclass(predictions: Predictions, sample: Resample) -> dict[str, Measured]:
    scores, decisions, targets = predictions.scores, predictions.decisions, predictions.targets
    count = len(predictions.classes)
    by_class = _by_class(predictions, one_hot(decisions, count), one_hot(targets, count), sample)
    return {
        "accuracy": measure_accuracy(decisions, targets, sample),
        "balanced_accuracy": average(_named(by_class, "sensitivity:"), sample, len(targets)),
        "auroc_macro": average(_named(by_class, "auroc:"), sample, len(targets)),
        "ece": measure_ece(*top_label(scores, targets), sample),
        "brier": measure_brier(scores, targets, sample),
        "nll": measure_nll(scores, targets, sample),
        **by_class,
    }


def _multilabel(predictions: Predictions, sample: Resample) -> dict[str, Measured]:
    scores, decisions, targets = predictions.scores, predictions.decisions, predictions.targets
    known = ~np.isnan(targets)
    by_class = _by_class(predictions, decisions, targets, sample)
    n = int(known.any(1).sum())
    right = ((decisions == targets) & known).sum(1).astype(float)
    return {
        "accuracy": measure_exact(decisions, targets, sample),
        "accuracy_findings": ratio(right, known.sum(1).astype(float), sample, SHARE),
        "balanced_accuracy": average(_named(by_class, "sensitivity:", "specificity:"), sample, n),
        "auroc_macro": average(_named(by_class, "auroc:"), sample, n),
        "ece": measure_ece(scores, targets, sample),
        "brier": measure_brier_findings(scores, targets, sample),
        "nll": measure_nll_findings(scores, targets, sample),
        **by_class,
    }


def _named(found: dict[str, Measured], *prefixes: str) -> list[Measured]:
    return [measured for name, measured in found.items() if name.startswith(prefixes)]


def _by_class(predictions: Predictions, decided: Cells, true: Cells, sample: Resample) -> dict[str, Measured]:
    found: dict[str, Measured] = {}
    for k, name in enumerate(predictions.classes):
        found[f"auroc:{name}"] = measure_auroc(predictions.scores[:, k], true[:, k], sample)
        found[f"sensitivity:{name}"] = measure_sensitivity(decided[:, k], true[:, k], sample)
        found[f"specificity:{name}"] = measure_specificity(decided[:, k], true[:, k], sample)
    return found
