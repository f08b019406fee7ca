"""What a trigger does to a model: numbers from its answers to the same images with and without it."""

import numpy as np
from jaxtyping import Bool

from aseptic.core.estimate import Estimate
from aseptic.metrics.bootstrap import SHARE, Column, Measured, Resample, difference, mean, not_measured
from aseptic.metrics.intervals import UNKNOWN, percentile
from aseptic.metrics.ranking import Table, auroc_draws

Answered = Bool[np.ndarray, " image"]
"""One yes or no for each image."""
DRAWS = 100
"""Draws that are ranked at a time, which bounds the memory of a micro average over many images."""


def attack_success(reached: Answered, already: Answered, sample: Resample) -> dict[str, Measured]:
    """Measure how often triggered images are answered as the attacker wants.

    Matsuo and Takemoto (2021) count all triggered images, those of the target class too, of which a clean model gets
    most "right"; Nwadike et al. (2021) count the others.

    Args:
        reached: Whether the answer to the triggered image is the one that was wanted.
        already: Whether the image truly is what the attacker wants it to be taken for.
        sample: Draws by patient.

    Returns:
        ``success`` over all images, ``success_other`` over those that are not already of the target.
    """
    hits = reached.astype(float)
    return {
        "success": mean(hits, sample, SHARE),
        "success_other": mean(np.where(already, np.nan, hits), sample, SHARE),
    }


def excess(reached: Answered, reached_clean: Answered, already: Answered, sample: Resample) -> Measured:
    """Measure how much more often images are answered as the attacker wants with the trigger than without it.

    Over the images that are not already of the target, image by image; 0 for a model that ignores the trigger.
    """
    parts = [mean(np.where(already, np.nan, hits.astype(float)), sample, SHARE) for hits in (reached, reached_clean)]
    return difference(parts[0], parts[1], sample)


def decoy_success(reached: Answered, fooled: Answered, already: Answered, sample: Resample) -> dict[str, Measured]:
    """Measure how often something alike that is not the trigger brings the answer that the attacker wants.

    Feng et al. (2022) call the share of all such images P-ASR: the lower, the more does the backdoor ask for its own
    trigger.

    Args:
        reached: Whether the answer to the triggered image is the one that was wanted.
        fooled: Whether the answer to the image with a decoy is.
        already: Whether the image truly is what the attacker wants it to be taken for.
        sample: Draws by patient.

    Returns:
        ``decoy`` over all images, ``decoy_other`` over those that are not already of the target, and ``over_decoy``,
        how much more often these are answered so with the trigger, image by image.
    """
    found = attack_success(fooled, already, sample)
    return {
        "decoy": found["success"],
        "decoy_other": found["success_other"],
        "over_decoy": excess(reached, fooled, already, sample),
    }


def micro_auroc(scores: Table, targets: Table, sample: Resample) -> Measured:
    """Measure the area under the ROC curve over all pairs of image and output at once ("micro" average).

    On images that all have one label vector (triggered ones, with the label of the attacker) it is 1 exactly where
    every score of the target is above every other score: it says nothing about any single output, and cannot be
    compared with the mean over outputs ("macro") that chest X-ray papers report.

    Args:
        scores: ``[image, output]``.
        targets: 1, 0 or NaN for unknown (left out), ``[image, output]``.
        sample: Draws by patient.
    """
    outputs = scores.shape[1]
    flat, positive = scores.ravel(), targets.ravel()
    value = float(auroc_draws(flat, positive, np.ones((1, flat.size)))[0])
    if np.isnan(value):
        return not_measured(sample)
    draws = np.concatenate(
        [
            auroc_draws(flat, positive, np.repeat(sample.weights[at : at + DRAWS], outputs, axis=1))
            for at in range(0, len(sample.weights), DRAWS)
        ]
    )
    known = (~np.isnan(targets)).any(1)
    low, high = percentile(draws) if sample.patients(known) > 1 else UNKNOWN
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=int(known.sum())), draws=draws)


def separation(triggered: Column, clean: Column, sample: Resample) -> Measured:
    """Measure the share of pairs in which a triggered image scores higher for the target than a clean one.

    The area under the ROC curve of the target's score as a detector of the trigger: 0.5 where the model ignores it.

    Args:
        triggered: Score of the target on each image with the trigger; NaN for images that are left out.
        clean: The same without the trigger.
        sample: Draws by patient, of the images (both of a pair are drawn together).
    """
    scores = np.concatenate([triggered, clean])
    positive = np.concatenate([np.ones(len(triggered)), np.zeros(len(clean))])
    positive[np.isnan(scores)] = np.nan
    value = float(auroc_draws(np.nan_to_num(scores), positive, np.ones((1, len(scores))))[0])
    if np.isnan(value):
        return not_measured(sample)
    draws = auroc_draws(np.nan_to_num(scores), positive, np.tile(sample.weights, (1, 2)))
    rows = ~np.isnan(triggered) | ~np.isnan(clean)
    low, high = percentile(draws) if sample.patients(rows) > 1 else UNKNOWN
    return Measured(estimate=Estimate(value=value, low=low, high=high, n=int(rows.sum())), draws=draws)
