"""Checks that compare a detector with its labels: is it fed, and are its classes named, as when it was trained?"""

from itertools import permutations

import torch
from pydantic import JsonValue
from torch import Tensor

from aseptic.metrics.intervals import wilson
from aseptic.models.checks import Check, Probe, check, forward
from aseptic.models.feeding import ways
from aseptic.ops.boxes import overlaps
from aseptic.tasks.detection import MATCH, as_detection, outcome

CLEAR = 0.1
"""Smallest gain in the share of objects found that is worth a word, and only where the intervals do not meet."""
MOST = 6
"""Most classes whose orders are all compared."""


def _found(probe: Probe, logits: Tensor, targets: Tensor) -> tuple[int, int]:
    """Return how many objects are found with their class, and how many there are."""
    told = outcome(as_detection(probe.subject.task).decide(logits), targets)
    return int(told.found.sum()), int((targets[..., 0] >= 0).sum())


def _clearly(more: tuple[int, int], fewer: tuple[int, int]) -> bool:
    share, other = more[0] / more[1], fewer[0] / fewer[1]
    return share - other > CLEAR and wilson(share, more[1])[0] > wilson(other, fewer[1])[1]


def scale(probe: Probe) -> Check:
    """Warn where the detector finds clearly more objects when it is fed the images in another way."""
    now = _found(probe, probe.logits, probe.targets)
    evidence: dict[str, JsonValue] = {"measure": "objects found", "objects": now[1], "as_fed": now[0]}
    if not now[1]:
        return check("scale", "ok", "Not judged: there are no objects.", evidence)
    best, how = now, ""
    for name, fed in ways(probe).items():
        logits = _placed(probe, forward(probe.subject.module, fed), fed)
        if not logits.isfinite().all():
            continue
        found = _found(probe, logits, probe.targets)
        evidence[name] = found[0]
        if _clearly(found, now) and found[0] > best[0]:
            best, how = found, name
    if how:
        sentence = (
            f"{now[0]} of {now[1]} objects are found as the images are fed, but {best[0]} with images {how}: mean, std "
            f"or the range of the images are probably not those of the training."
        )
        return check("scale", "warning", sentence, evidence)
    return check("scale", "ok", "No other way of feeding the images finds more objects.", evidence)


def _placed(probe: Probe, logits: Tensor, fed: Tensor) -> Tensor:
    outputs, sides = len(probe.subject.task.classes), probe.images.shape[2:]
    factor = logits.new_tensor([sides[1] / fed.shape[3], sides[0] / fed.shape[2]] * 2)[:, None]
    return torch.cat([logits[:, :outputs], logits[:, outputs:] * factor], 1)


def class_order(probe: Probe) -> Check:
    """Warn where the outputs, in another order, name clearly more objects rightly."""
    names, task = probe.subject.task.classes, as_detection(probe.subject.task)
    if len(names) > MOST:
        return check("class_order", "ok", f"Not judged: there are more than {MOST} classes.", {"classes": len(names)})
    detected, labels = task.decide(probe.logits), probe.targets[..., 0]
    cover = overlaps(detected[..., 1:], probe.targets[..., 1:].to(detected)) >= MATCH
    cover &= (detected[..., 0] >= 0)[..., None] & (labels >= 0)[:, None]
    table = torch.zeros((len(names), len(names)), dtype=torch.long)
    for image, made, true in cover.nonzero().tolist():
        table[int(labels[image, true]), int(detected[image, made, 0])] += 1
    objects = int((labels >= 0).sum())
    orders = list(permutations(range(len(names))))
    named = [int(table[list(range(len(names))), list(order)].sum()) for order in orders]
    given, best = named[0], max(named)
    evidence: dict[str, JsonValue] = {"objects": objects, "named_rightly": given, "in_the_best_order": best}
    if objects and _clearly((min(best, objects), objects), (min(given, objects), objects)):
        order = orders[named.index(best)]
        evidence["better_order"] = [names[k] for k in order]
        moved = [(names[k], names[j]) for k, j in enumerate(order) if k != j]
        told = ", ".join(f"the output called {j!r} lies on objects of {k!r}" for k, j in moved[:3])
        sentence = (
            f"The order of the classes contradicts the boxes: {told} ({given} named rightly as it is, {best} so)."
        )
        return check("class_order", "warning", sentence, evidence)
    return check("class_order", "ok", "The order of the classes agrees with the boxes.", evidence)
