"""Checks that compare a model with its labels: is it fed, and read, as it was trained to be?"""

import math
from collections.abc import Mapping

import numpy as np
import torch
from jaxtyping import Float
from pydantic import JsonValue
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from aseptic.core.rng import stream
from aseptic.metrics.overlap import dice
from aseptic.models.checks import Check, Probe, check, forward
from aseptic.models.skill import MARGIN, SIGMAS, Skill, columns, dice_skill, mean, ranking, skill
from aseptic.ops.images import adapt_channels, resize

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that most published weights were trained with."""
Table = list[list[Skill]]
"""Skill of every output for every class."""
MOST = 32
"""Most classes for which every output is compared with every class."""


def _normalised(images: Tensor, mean_of: tuple[float, ...], std_of: tuple[float, ...]) -> Tensor:
    shape = (1, -1, *(1,) * (images.ndim - 2))
    centre, width = (torch.tensor(each).to(images) for each in (mean_of, std_of))
    if images.shape[1] != len(centre):
        centre, width = centre.mean()[None], width.mean()[None]
    return (images - centre.reshape(shape)) / width.reshape(shape)


def ways(probe: Probe) -> Mapping[str, Tensor]:
    """Return the images as other training recipes would have fed them."""
    spec = probe.subject.spec
    raw = adapt_channels(probe.images, spec.channels)
    if spec.size is not None and tuple(raw.shape[2:]) != spec.size:
        raw = resize(raw, spec.size)
    return {
        "in [0, 1] without normalisation": raw,
        "multiplied by 255": 255 * raw,
        "scaled to [-1, 1]": 2 * raw - 1,
        "normalised with the mean and std of ImageNet": _normalised(raw, *IMAGENET),
        "with black and white exchanged": probe.subject.prepare(1 - probe.images),
    }


def _entropy(probe: Probe, logits: Tensor) -> float:
    scores = probe.subject.task.scores(logits)
    each = -(scores * scores.clamp_min(1e-12).log())
    if not probe.exclusive:
        each = each - (1 - scores) * (1 - scores).clamp_min(1e-12).log()
    return float(each.sum(1).mean())


def scale(probe: Probe) -> Check:
    """Warn where the model knows clearly more when it is fed the images in another way."""
    task = probe.subject.task
    now = skill(task.shift(probe.logits), probe.targets)
    measure = "mean Dice" if task.dense else "balanced accuracy" if probe.exclusive else "mean AUROC"
    evidence: dict[str, JsonValue] = {"measure": measure, "as_fed": _number(now.value)}
    evidence["entropy_as_fed"] = _entropy(probe, probe.logits)
    best, how = now, ""
    for name, fed in ways(probe).items():
        logits = forward(probe.subject.module, fed)
        if not logits.isfinite().all():
            continue
        found = skill(task.shift(logits), probe.targets)
        evidence[name] = _number(found.value)
        if found.beats(now) and found.value > best.value:
            best, how = found, name
            evidence["entropy_best"] = _entropy(probe, logits)
    if how:
        sentence = (
            f"The {measure} is {now.value:.2f} as the images are fed, but {best.value:.2f} with images {how}: "
            f"mean, std or the range of the images are probably not those of the training."
        )
        return check("scale", "warning", sentence, evidence)
    return check("scale", "ok", f"No other way of feeding the images gives a better {measure}.", evidence)


def class_order(probe: Probe) -> Check:
    """Warn where the outputs, in another order or with another sign, agree far better with the labels.

    The other order is found on one half of the images and judged on the other, so that chance gains nothing.
    """
    names = probe.subject.task.classes
    if len(names) > MOST:
        return check("class_order", "ok", f"Not judged: there are more than {MOST} classes.", {"classes": len(names)})
    if probe.subject.task.dense:
        return structure_order(probe)
    scores = probe.subject.task.scores(probe.logits) if probe.targets.ndim == 1 else probe.logits
    wanted = columns(probe.targets, len(names))
    order = torch.randperm(len(scores), generator=stream(probe.seed, "class order"))
    one, two = order[: len(order) // 2].to(scores.device), order[len(order) // 2 :].to(scores.device)
    halves = [_areas(scores[half], wanted[half.cpu().numpy()]) for half in (one, two)]
    given, best, picked = _better_order(*halves, nothing=0.5)
    evidence: dict[str, JsonValue] = {"mean_auroc": _number(given.value), "mean_auroc_best_order": _number(best.value)}
    if best.beats(given):
        moved = {names[k]: names[j] for k, j in enumerate(picked) if k != j}
        evidence["better_order"] = [names[j] for j in picked]
        told = ", ".join(f"the output called {j!r} answers to the images of {k!r}" for k, j in list(moved.items())[:3])
        sentence = (
            f"The order of the classes contradicts the labels: {told} (mean AUROC {given.value:.2f} as named, "
            f"{best.value:.2f} in the better order)."
        )
        return check("class_order", "warning", sentence, evidence)
    backwards = [names[k] for k in range(len(names)) if _backwards(ranking(scores[:, k], wanted[:, k]))]
    evidence["backwards"] = list(backwards)
    if backwards and probe.targets.ndim > 1:
        sentence = (
            f"Outputs are lower where the finding is present: {', '.join(backwards)}; sign or labels are reversed."
        )
        return check("class_order", "warning", sentence, evidence)
    return check("class_order", "ok", "The order of the classes agrees with the labels.", evidence)


def structure_order(probe: Probe) -> Check:
    """Warn where the structures, in another order, overlap far better with the masks.

    As for classes, the other order is found on one half of the images and judged on the other.
    """
    names = probe.subject.task.classes
    found, count = probe.subject.task.decide(probe.logits), len(names)
    order = torch.randperm(len(found), generator=stream(probe.seed, "class order")).to(found.device)
    one, two = order[: len(order) // 2], order[len(order) // 2 :]
    halves = [_overlaps(found[half], probe.targets[half], count) for half in (one, two)]
    given, best, picked = _better_order(*halves, nothing=0.0)
    evidence: dict[str, JsonValue] = {"mean_dice": _number(given.value), "mean_dice_best_order": _number(best.value)}
    if best.beats(given):
        moved = {names[k]: names[j] for k, j in enumerate(picked) if k != j}
        evidence["better_order"] = [names[j] for j in picked]
        told = ", ".join(f"the output called {j!r} lies on the masks of {k!r}" for k, j in list(moved.items())[:3])
        sentence = (
            f"The order of the classes contradicts the masks: {told} (mean Dice {given.value:.2f} as named, "
            f"{best.value:.2f} in the better order)."
        )
        return check("class_order", "warning", sentence, evidence)
    return check("class_order", "ok", "The order of the classes agrees with the masks.", evidence)


def _better_order(found: Table, held: Table, *, nothing: float) -> tuple[Skill, Skill, list[int]]:
    """Return the mean skill of the given order and of the best one, and the output that the best has for each class.

    Args:
        found: Skill of output ``j`` for class ``k`` at ``[k][j]``, on the images that the order is found on.
        held: The same on the images that it is judged on.
        nothing: What an output is worth whose skill is not defined.
    """
    values = np.array([[each.value for each in row] for row in found])
    # a trace on the diagonal prefers the given order in ties
    gain = np.nan_to_num(values, nan=nothing) + 1e-6 * np.eye(len(found))
    rows, picked = (part.tolist() for part in linear_sum_assignment(gain, maximize=True))
    given, best = (mean([held[k][j] for k, j in zip(rows, pick, strict=True)]) for pick in (rows, picked))
    return given, best, picked


def _overlaps(found: Tensor, truth: Tensor, count: int) -> Table:
    """Return the mean Dice of decided class ``j`` with true class ``k``, over the images with ``k``, at ``[k][j]``."""
    table = []
    for k in range(count):
        there = (truth == k).flatten(1).any(1)
        true = (truth[there] == k).long()
        table.append([dice_skill(dice((found[there] == j).long(), true, 2)[:, 1]) for j in range(count)])
    return table


def _areas(scores: Tensor, wanted: Float[np.ndarray, "batch output"]) -> Table:
    """Return the AUROC of output ``j`` for class ``k`` at ``[k][j]``."""
    outputs = range(scores.shape[1])
    return [[ranking(scores[:, j], wanted[:, k]) for j in outputs] for k in outputs]


def _backwards(found: Skill) -> bool:
    return 0.5 - found.value > max(MARGIN, SIGMAS * found.error)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value
