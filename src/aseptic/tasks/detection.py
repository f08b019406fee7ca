"""Objects in boxes: what a detector decides for, what it found, and how far it is off."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional as F

from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Flags, Logits, PerImage, Targets
from aseptic.ops.boxes import areas, overlaps, survivors
from aseptic.tasks.base import CORNERS, Task

COLUMNS = 5
"""Numbers of an object: its label and its box."""
DOUBLES = 0.5
"""Overlap above which the less likely of two candidates of one class is suppressed."""
MATCH = 0.5
"""Overlap from which a box covers an object."""
MOST = 100
"""Most detections in one image, as in COCO."""
FLOOR = 0.001
"""Least score of what is listed for the average precision."""
AGREES = 0.5
"""F1 of the objects from which the detections of an image count as right."""
FOCUS = 2.0
"""Exponent of the focal loss."""
Candidates = Float[Tensor, "batch label candidate"]
"""Logits of every candidate, with the operating point at zero."""
Listed = Float[Tensor, "batch detection 6"]
"""Label, left, top, right, bottom and score of each detection; label -1 where there is none."""
Objects = Float[Tensor, "batch object 5"]
"""Label, left, top, right, bottom of each object; label -1 where there is none."""


class Outcome(NamedTuple):
    """What became of the true objects, and what was detected besides."""

    found: Bool[Tensor, "batch object"]
    """Covered by a detection of their own class."""
    renamed: Bool[Tensor, "batch object"]
    """Covered, but only by detections of other classes."""
    vanished: Bool[Tensor, "batch object"]
    """Covered by nothing."""
    invented: Bool[Tensor, "batch detection"]
    """Detections that cover no object."""
    wrong: Bool[Tensor, "batch detection"]
    """Detections that cover objects, but none of their own class."""


@dataclass(frozen=True, kw_only=True)
class Detection(Task):
    """Any number of objects, each in a box: a threshold for each class, and the less likely of two doubles goes.

    Logits are ``[batch, outputs + 4, candidate]``: one logit for each class, then left, top, right and bottom of the
    candidate's box in pixels. Targets are ``[batch, object, 5]``: label and box of each object, label -1 for none.
    """

    name: ClassVar[str] = "detection"
    boxes: ClassVar[bool] = True

    def split(self, logits: Logits) -> tuple[Candidates, Float[Tensor, "batch candidate 4"]]:
        """Return the logits of the classes with the operating point at zero, and the boxes."""
        shifted = self.shift(logits)
        return shifted[:, : len(self.classes)], shifted[:, len(self.classes) :].transpose(1, 2)

    def kept(self, logits: Logits) -> Bool[Tensor, "batch label candidate"]:
        """Return which candidates would be detections if no threshold were in the way."""
        return survivors(*self.split(logits), overlap=DOUBLES, most=MOST)

    def detections(self, logits: Logits, *, decided: bool = False) -> Listed:
        """Return the most likely detections of each image, in the order of their distance from the operating point.

        Args:
            logits: Answers of the model.
            decided: Whether only those above the operating point are listed, instead of all above a score of 0.001.
        """
        shifted, boxes = self.split(logits)
        ranked = shifted.masked_fill(~survivors(shifted, boxes, overlap=DOUBLES, most=MOST), -torch.inf).flatten(1)
        best = ranked.topk(min(MOST, ranked.shape[1]), dim=1)
        column, candidate = best.indices // boxes.shape[1], best.indices % boxes.shape[1]
        score = self.scores(logits)[:, : len(self.classes)].flatten(1).gather(1, best.indices)
        corners = boxes.gather(1, candidate[..., None].expand(-1, -1, CORNERS))
        there = best.values > (0 if decided else -torch.inf)
        there &= decided | (score > FLOOR)
        rows = torch.cat([column[..., None].to(score), corners, score[..., None]], 2) * there[..., None]
        rows[..., 0] = rows[..., 0].masked_fill(~there, -1)
        missing = MOST - rows.shape[1]
        return torch.cat([rows, rows.new_tensor([-1.0, 0, 0, 0, 0, 0]).expand(len(rows), missing, -1)], 1)

    def loss(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the focal loss of the candidates over the number of objects, plus what the best boxes lack of them.

        A candidate is one of an object's class where it covers it, of none where it does not; the last part is the
        mean over the objects of 1 minus their largest overlap with a candidate. No anchors are needed, so that it can
        be computed for any detector; training minimises the network's own loss.
        """
        shared, there = self._shared(logits, targets), targets[..., 0] >= 0
        raw = logits[:, : len(self.classes)]
        own = F.one_hot(targets[..., 0].long().clamp(min=0), len(self.classes)).to(shared) * there[..., None]
        wanted = ((shared.detach() >= MATCH).to(shared) @ own).clamp(max=1).transpose(1, 2)
        likely = raw.sigmoid()
        missing = (likely - wanted).abs().pow(FOCUS)
        entropy = F.binary_cross_entropy_with_logits(raw, wanted, reduction="none")
        count = there.sum(1).clamp(min=1)
        lack = ((1 - shared.amax(1)) * there).sum(1)
        return ((missing * entropy).flatten(1).sum(1) + lack) / count

    def scores(self, logits: Logits) -> Tensor:
        """Return the sigmoid of the logits; the corners of the boxes stay as they are."""
        return torch.cat([logits[:, : len(self.classes)].sigmoid(), logits[:, len(self.classes) :]], 1)

    def decide(self, logits: Logits) -> Tensor:
        """Return the detections as objects ``[batch, 100, 5]``, the most likely first: they can serve as targets."""
        return self.detections(logits, decided=True)[..., :COLUMNS]

    def agreement(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the F1 of each image, ``2 found / (2 found + missed + false)``; NaN where there is nothing at all.

        A second detection of the same object counts neither way.
        """
        return f1(self.decide(logits), targets)

    def correct(self, logits: Logits, targets: Targets) -> Flags:
        """Return whether the F1 is at least 0.5, or there is nothing and nothing was detected."""
        found = self.agreement(logits, targets)
        return (found >= AGREES) | found.isnan()

    def check_targets(self, targets: Targets) -> None:
        """Raise `InputError` unless every row is an object of a class with a box of some area, or has label -1."""
        if targets.ndim != 3 or not targets.is_floating_point() or targets.shape[2] != COLUMNS or not targets.shape[1]:  # noqa: PLR2004 - image, object, number
            raise InputError(
                f"detection targets must be numbers [N, object, 5] with at least one row for each image, "
                f"got {targets.dtype} {[*targets.shape]}"
            )
        if not targets.isfinite().all():
            raise InputError("detection targets must be finite: label and left, top, right, bottom in pixels")
        labels = targets[..., 0]
        strange = (labels != labels.round()) | (labels < -1) | (labels >= len(self.classes))
        if strange.any():
            raise InputError(
                f"labels must be whole numbers in 0..{len(self.classes) - 1}, or -1 for no object; "
                f"got {labels[strange][0]:g}"
            )
        flat = (labels >= 0) & (areas(targets[..., 1:]) <= 0)
        if flat.any():
            image, row = (int(one) for one in flat.nonzero()[0])
            corners = [round(float(one), 3) for one in targets[image, row, 1:]]
            raise InputError(f"boxes must have an area (left < right, top < bottom), got {corners} in image {image}")

    def _shared(self, logits: Logits, targets: Targets) -> Float[Tensor, "batch candidate object"]:
        boxes = logits[:, len(self.classes) :].transpose(1, 2)
        return overlaps(boxes, targets[..., 1:].to(boxes))


def as_detection(task: Task) -> Detection:
    """Return the task, which must be detection.

    Raises:
        ContractError: It is another one.
    """
    if not isinstance(task, Detection):
        raise ContractError(f"the task must be detection, got {task.name}")
    return task


def outcome(detected: Float[Tensor, "batch detection column"], targets: Objects) -> Outcome:
    """Return what became of every object, and which detections are of nothing.

    Args:
        detected: What was decided for, as `Detection.decide` or `Detection.detections` returns it.
        targets: The true objects.
    """
    made, there = detected[..., 0] >= 0, targets[..., 0] >= 0
    cover = (
        (overlaps(detected[..., 1:COLUMNS], targets[..., 1:].to(detected)) >= MATCH) & made[..., None] & there[:, None]
    )
    same = cover & (detected[..., :1] == targets[:, None, :, 0].to(detected))
    found, seen = same.any(1), cover.any(1)
    right, any_object = same.any(2), cover.any(2)
    return Outcome(
        found=found,
        renamed=seen & ~found,
        vanished=there & ~seen,
        invented=made & ~any_object,
        wrong=any_object & ~right,
    )


def f1(detected: Float[Tensor, "batch detection column"], targets: Objects) -> PerImage:
    """Return the F1 of the objects of each image; NaN where there are none and nothing was detected."""
    told = outcome(detected, targets)
    found, objects = told.found.sum(1), (targets[..., 0] >= 0).sum(1)
    false = (told.invented | told.wrong).sum(1)
    return 2.0 * found / (found + objects + false)
