"""The yardstick of detections: average precision, and objects that vanish, change their class or are invented."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float
from pandas import DataFrame
from torch import Tensor

from aseptic.core.record import Finding
from aseptic.core.types import Image, Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import Column, Measured, Resample, mean, ratio
from aseptic.metrics.detection import summarise_detections
from aseptic.models.subject import Subject
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import CONFIDENCE, Answers, Battery, Right, Words, Yardstick, check_classes
from aseptic.studies.yardsticks.drawing import COLOURS, Frame, boxed
from aseptic.tasks.detection import as_detection, outcome
from aseptic.tasks.detection_goals import Disrupt

ROOM = 0.8
"""Share of the way from the limit to an F1 of 0 that PGD goes on for, once the detections are disrupted."""
PER_CLASS = ("objects", "found", "vanished", "renamed", "invented")
"""Counts that raw rows have for each class."""
WIDE, FULL = 5, 6
"""Numbers of an object, and of a detection with its score."""
WORDS = Words(
    titles={
        "map50": "mAP at overlap 0.5 under {who} within {grey} grey levels",
        "success": "Images that {who} brought to the goal within {grey} grey levels, of those not there before",
        "turned": "Images that {who} brought to the goal within {grey} grey levels",
        "lost": "Objects found before that are no longer found under {who} within {grey} grey levels",
        "only": "Images that {who}, and no other attack, brought to the goal within {grey} grey levels",
    },
    each={
        "recall": "Objects {name} that are found under {who} within {grey} grey levels",
        "vanished": "Objects {name} that nothing covers under {who} within {grey} grey levels",
        "renamed": "Objects {name} that only other classes cover under {who} within {grey} grey levels",
        "invented": "Detections of {name} in an image that cover no object under {who} within {grey} grey levels",
    },
    clean={
        "map50": "Clean mAP at overlap 0.5",
        "map": "Clean mAP over overlaps 0.5 to 0.95",
        "recall": "Objects found in clean images, at the operating point",
        "recall_at_1fp": "Objects found in clean images, at one false positive an image",
    },
    clean_each={
        "ap50": "Clean average precision of {name} at overlap 0.5",
        "recall": "Objects {name} found in clean images, at the operating point",
        "invented": "Detections of {name} in a clean image that cover no object",
    },
    harm="Objects {name} found under {who}",
    stored="Objects lost within {grey} grey levels that stay lost when stored at {how}",
    turned="Changing no pixel by more than {grey} of 255 grey levels {effect} in {share} of the {whose}{span}, "
    "measured on {images}.",
    whose=("images where it was not so before",) * 2,
    unit="points of mAP",
    lost="mAP",
    kept="Stored as 8-bit images, {share} of the objects that the attack took stay lost.",
    unlabelled="The data has no boxes: the clean detections take the place of the truth.",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Seen:
    """What was detected in every image, and what there is."""

    detections: tuple[Float[np.ndarray, "_ 6"], ...]
    """Label, left, top, right, bottom, score."""
    truth: tuple[Float[np.ndarray, "_ 5"], ...]
    """Label, left, top, right, bottom."""
    counts: Mapping[str, Float[np.ndarray, "image class"]]
    """At the operating point, by class: objects that there are, that were found with their class, that vanished, that
    are covered by other classes only; and detections that cover no object."""

    @property
    def agreement(self) -> Column:
        """Found objects of each image, less what was invented in it."""
        found: Column = (self.counts["found"] - self.counts["invented"]).sum(1)
        return found


@dataclass(frozen=True, kw_only=True)
class Objects(Yardstick[Seen]):
    """Objects in boxes: average precision over all images, and what became of each object."""

    batteries: ClassVar[Mapping[str, Battery]] = {
        "quick": Battery(),
        "standard": Battery(probes=("bim", "tog")),
        "full": Battery(probes=("bim", "tog", "dag")),
    }
    main: ClassVar[str] = "map50"
    drawn: ClassVar[tuple[str, ...]] = ("map50",)
    overall: ClassVar[tuple[str, ...]] = ("map50", "map", "recall", "recall_at_1fp")
    per_class: ClassVar[tuple[str, ...]] = ("ap50", "recall", "invented")
    each: ClassVar[tuple[str, ...]] = ("recall", "vanished", "renamed", "invented")
    harm: ClassVar[str] = "recall"
    grave: ClassVar[tuple[str, ...]] = ("turned", "lost")
    words: ClassVar[Words] = WORDS
    unexplained: ClassVar[str] = (
        "an explanation map is about one output of an image, and a detector has as many as it has candidates"
    )

    @property
    def shown(self) -> tuple[str, ...]:
        """Both mAPs, and the average precision of each class."""
        return ("map50", "map", *(f"ap50:{name}" for name in self.names))

    @property
    def effect(self) -> str:
        """What the goal does, in words."""
        if isinstance(self.goal, Disrupt):
            return f"brings the F1 of the objects below {self.goal.below:g}"
        return f"has the effect that {self.goal.describe()}"

    def options(self, attack: str, steps: int) -> dict[str, Any]:
        """Return the search settings: all steps, until the detections are as good as lost."""
        if attack == "pgd":
            lost = ROOM * self.goal.below if isinstance(self.goal, Disrupt) else CONFIDENCE
            return {"steps": steps, "confidence": lost}
        return {"steps": steps, "stop": False} if attack == "tog" else {}

    def targets(self, data: ImageSet) -> Targets | None:
        """Return the objects with the model's numbers of the classes, matched by name."""
        if not check_classes(self.task, data):
            return None
        found = data.targets.clone()
        places = torch.tensor([float(self.task.output(name)) for name in data.classes])
        there = found[..., 0] >= 0
        found[..., 0] = places[found[..., 0].long().clamp(min=0)].where(there, found[..., 0])
        return found

    def labels(self, data: ImageSet, row: int, folder: Path) -> dict[str, str]:
        """Return nothing: a table cannot hold boxes, which are written together, as COCO json."""
        del data, row, folder
        return {}

    def counts(self, targets: Targets) -> dict[str, int]:
        """Return the images that show each class."""
        return {name: int((targets[..., 0] == k).any(1).sum()) for k, name in enumerate(self.task.classes)}

    def columns(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """Return the detections and objects as they are, their counts by class, and the classes in words."""
        logits, truth = logits.detach().cpu(), targets.cpu()
        task = as_detection(self.task)
        decided, every = task.decide(logits), task.detections(logits)
        told = outcome(decided, truth)
        columns: dict[str, Any] = {
            "target": self._names(truth),
            "decision": self._names(decided),
            "correct": task.correct(logits, truth).tolist(),
            "detections": [one[one[:, 0] >= 0].double().flatten().tolist() for one in every],
            "objects": [one[one[:, 0] >= 0].double().flatten().tolist() for one in truth],
        }
        for k, name in enumerate(task.classes):
            mine = truth[..., 0] == k
            columns[f"objects:{name}"] = mine.sum(1).double().tolist()
            for kind in ("found", "vanished", "renamed"):
                columns[f"{kind}:{name}"] = (getattr(told, kind) & mine).sum(1).double().tolist()
            columns[f"invented:{name}"] = (told.invented & (decided[..., 0] == k)).sum(1).double().tolist()
        return columns

    def _names(self, objects: Tensor) -> list[str]:
        """Return how many objects of each class there are, in words (empty for none)."""
        counts = [[int((row[:, 0] == k).sum()) for k in range(len(self.task.classes))] for row in objects]
        return [", ".join(f"{n} {name}" for n, name in zip(row, self.task.classes, strict=True) if n) for row in counts]

    def said(self, logits: Logits, targets: Targets) -> list[str]:
        """Return what is detected in each image, in words."""
        del targets
        return [told or "nothing" for told in self._names(self.task.decide(logits))]

    def read(self, rows: DataFrame) -> tuple[Seen, Right]:
        """Return what was seen; an image is right as long as the goal is not reached, where it makes sense."""
        counts = {
            kind: rows[[f"{kind}:{name}" for name in self.task.classes]].to_numpy(dtype=float) for kind in PER_CLASS
        }
        lists = {
            kind: tuple(np.array(one, dtype=float).reshape(-1, width) for one in rows[kind])
            for kind, width in (("detections", FULL), ("objects", WIDE))
        }
        held = np.where(rows["success"].to_numpy(dtype=bool), 0.0, 1.0)
        right = np.where(rows["eligible"].to_numpy(dtype=bool), held, np.nan)[:, None]
        return Seen(detections=lists["detections"], truth=lists["objects"], counts=counts), right

    def measure(self, values: Seen, sample: Resample) -> dict[str, Measured]:
        """Return mAP, recall, and for each class average precision, recall, vanished, renamed and invented objects."""
        found = dict(self._listed(values, sample))
        counts = values.counts
        found["recall"] = ratio(counts["found"].sum(1), counts["objects"].sum(1), sample, (0.0, 1.0))
        for k, name in enumerate(self.task.classes):
            for metric, kind in (("recall", "found"), ("vanished", "vanished"), ("renamed", "renamed")):
                found[f"{metric}:{name}"] = ratio(counts[kind][:, k], counts["objects"][:, k], sample, (0.0, 1.0))
            found[f"invented:{name}"] = mean(counts["invented"][:, k], sample)
        return found

    def _listed(self, values: Seen, sample: Resample) -> Mapping[str, Measured]:
        return summarise_detections(values.detections, values.truth, self.task.classes, sample)

    def worst(self, conditions: Sequence[Answers[Seen]], sample: Resample) -> dict[str, Measured]:
        """Return the numbers of the answer to each image with the fewest objects found and the most invented ones.

        The mAP is no mean over images: where a single attack leaves less than the answers chosen image by image do, its
        mAP is given. ``lost`` is the share of the objects found in untouched images that are no longer found.
        """
        seen = [answers.found for answers in conditions]
        chosen = np.argmin([one.agreement for one in seen], axis=0)
        parts = list(enumerate(chosen))
        lowest = replace(
            seen[0],
            detections=tuple(seen[which].detections[row] for row, which in parts),
            counts={kind: np.stack([seen[which].counts[kind][row] for row, which in parts]) for kind in PER_CLASS},
        )
        found = self.measure(lowest, sample)
        once = replace(sample, weights=sample.weights[:1])  # what is compared needs no interval
        alone = [_value(self._listed(one, once)[self.main]) for one in seen]
        if min(alone) < _value(found[self.main]):
            found[self.main] = self._listed(seen[int(np.argmin(alone))], sample)[self.main]
        before = seen[0].counts["found"]
        after = np.minimum(lowest.counts["found"], before)
        found["lost"] = ratio((before - after).sum(1), before.sum(1), sample, (0.0, 1.0))
        return found

    def kept(self, clean: Answers[Seen], attacked: Answers[Seen], stored: Answers[Seen], sample: Resample) -> Measured:
        """Measure the share of the objects lost to an attack that is still lost once its images are stored."""
        before, after, rounded = (one.found.counts["found"].sum(1) for one in (clean, attacked, stored))
        lost = np.maximum(before - after, 0.0)
        return ratio(np.clip(before - rounded, 0.0, lost), lost, sample, (0.0, 1.0))

    def told(self, found: Mapping[str, Finding], grey: str) -> list[str]:
        """Return the mAP without an attack, and in the worst case."""
        clean, worst = found.get("clean.map50"), found.get(f"curve.worst.map50@{grey}")
        if worst is None or worst.value is None:
            return []
        lowest = f"{worst.value:.3f} in the worst case over all attacks"
        if clean is None or clean.value is None:
            return [f"The mAP at overlap 0.5 is {lowest}."]
        return [f"The mAP at overlap 0.5 falls from {clean.value:.3f} unattacked to {lowest}."]

    def telling(self, clean: Seen, attacked: Seen) -> Column:
        """Return how many objects were lost or invented, as a share of those that there are."""
        total = np.maximum(clean.counts["objects"].sum(1), 1)
        moved: Column = (clean.agreement - attacked.agreement) / total
        return moved

    def frame(self, image: Image, attacked: Image, target: Targets) -> int | None:
        """Return None: detectors see pictures."""
        del attacked, target
        return None if image.ndim == 3 else 0  # noqa: PLR2004 - channel, row, column

    def side(self, subject: Subject, image: Image, target: Targets, frame: Frame) -> dict[str, Any]:
        """Save the image with the boxes that the model finds in it."""
        decided = self.task.decide(predict(subject, image[None], 1))
        told = outcome(decided, target)
        objects = int((target[..., 0] >= 0).sum())
        words = f"{self._names(decided)[0] or 'nothing'} ({int(told.found.sum())} of {objects} objects found)"
        return {
            "decision": words,
            "score": int(told.found.sum()) / objects if objects else None,
            "image": self._boxed(image, decided[0], frame, ""),
        }

    def extras(self, image: Image, target: Targets, frame: Frame) -> list[dict[str, str]]:
        """Save the image with the true boxes, and without any."""
        told = ", ".join(f"{name} {colour}" for name, colour in zip(self.task.classes, cycle(COLOURS)))
        none = torch.full_like(target[0], -1)
        return [
            {
                "image": self._boxed(image, target[0], frame, "_truth"),
                "alt": "Boxes of the true objects",
                "caption": f"Truth: {told}",
            },
            {
                "image": self._boxed(image, none, frame, "_plain"),
                "alt": "Untouched image without boxes",
                "caption": "Untouched, without boxes",
            },
        ]

    def why(self, *, fell: bool) -> str:
        """Return why an example is shown."""
        return f"The attack {self.effect}." if fell else "The goal was not reached; the most objects were lost."

    def _boxed(self, image: Image, objects: Tensor, frame: Frame, suffix: str) -> str:
        rows = objects[objects[:, 0] >= 0].cpu().double().numpy()
        return frame.save(suffix, boxed(frame.pixels(image), rows))


def _value(one: Measured) -> float:
    return math.inf if one.estimate.value is None else one.estimate.value
