"""The yardstick of segmentations: Dice of every structure, and lesions that are missed or invented."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float, Int
from pandas import DataFrame
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.record import Finding
from aseptic.core.types import Image, Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import Column, Measured, Resample, mean, ratio
from aseptic.metrics.lesions import invented, label_lesions, missed
from aseptic.metrics.overlap import dice
from aseptic.models.subject import Subject
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import CONFIDENCE, Answers, Battery, Right, Words, Yardstick, check_classes
from aseptic.studies.yardsticks.drawing import COLOURS, Frame, outlined
from aseptic.tasks.base import Task
from aseptic.tasks.segmentation import Damage

ROOM = 0.8
"""Share of the way from the limit to a Dice of 0 that PGD goes on for, once the segmentation is damaged."""
PER_STRUCTURE = ("dice", "lesions", "missed", "invented")
"""Columns of raw rows that each structure has."""
WORDS = Words(
    titles={
        "dice": "Mean Dice of the structures under {who} within {grey} grey levels",
        "success": "Images that {who} brought to the goal within {grey} grey levels, of those not there before",
        "turned": "Segmentations that {who} brought to the goal within {grey} grey levels",
        "lost": "Share of the mean Dice that {who} took away within {grey} grey levels",
        "only": "Segmentations that {who}, and no other attack, brought to the goal within {grey} grey levels",
    },
    each={
        "dice": "Dice of {name} under {who} within {grey} grey levels",
        "missed": "Lesions of {name} of which nothing is found under {who} within {grey} grey levels",
        "invented": "Lesions of {name} invented in an image under {who} within {grey} grey levels",
    },
    clean={"dice": "Clean mean Dice of the structures of an image"},
    clean_each={
        "dice": "Clean Dice of {name}",
        "missed": "Lesions of {name} of which nothing is found in clean images",
        "invented": "Lesions of {name} invented in a clean image",
    },
    harm="Dice of {name} under {who}",
    stored="Dice lost within {grey} grey levels that stays lost when stored at {how}",
    turned="Changing no pixel by more than {grey} of 255 grey levels {effect} in {share} of the {whose}{span}, "
    "measured on {images}.",
    whose=("segmentations where it was not so before",) * 2,
    unit="points of Dice",
    lost="Dice",
    kept="Stored as 8-bit images, {share} of the Dice that the attack took stays lost.",
    unlabelled="The data has no masks: the clean segmentation takes the place of the truth.",
)


@dataclass(frozen=True, kw_only=True, eq=False)
class Overlaps:
    """How well segmentations agree with the truth, image by image and structure by structure."""

    dice: Float[np.ndarray, "image structure"]
    """Dice; NaN where the structure is neither there nor found."""
    lesions: Float[np.ndarray, "image structure"]
    """Connected parts of the structure that are there."""
    missed: Float[np.ndarray, "image structure"]
    """Those of which not one place was found."""
    invented: Float[np.ndarray, "image structure"]
    """Connected parts that were found where nothing of the structure is."""

    @property
    def mean(self) -> Column:
        """Mean Dice of the structures of each image; NaN where there are none."""
        known = ~np.isnan(self.dice)
        total, count = np.nansum(self.dice, 1), known.sum(1)
        found: Column = np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)
        return found


@dataclass(frozen=True, kw_only=True)
class Structures(Yardstick[Overlaps]):
    """A class for every place: the first is the background, and everything is told of the others, the structures."""

    batteries: ClassVar[Mapping[str, Battery]] = {
        "quick": Battery(),
        "standard": Battery(probes=("segpgd", "cospgd")),
        "full": Battery(probes=("bim", "segpgd", "cospgd", "dag", "alma-prox")),
    }
    main: ClassVar[str] = "dice"
    drawn: ClassVar[tuple[str, ...]] = ("dice",)
    overall: ClassVar[tuple[str, ...]] = ("dice",)
    per_class: ClassVar[tuple[str, ...]] = ("dice", "missed", "invented")
    each: ClassVar[tuple[str, ...]] = ("dice", "missed", "invented")
    compared: ClassVar[tuple[str, ...]] = ("dice",)
    harm: ClassVar[str] = "dice"
    grave: ClassVar[tuple[str, ...]] = ("turned", "lost")
    words: ClassVar[Words] = WORDS
    unexplained: ClassVar[str] = (
        "an explanation map is about one output of an image, and a segmentation has one for every place"
    )

    @property
    def names(self) -> tuple[str, ...]:
        """The structures: every class but the background."""
        return self.task.classes[1:]

    @property
    def shown(self) -> tuple[str, ...]:
        """The mean Dice, and that of each structure."""
        return ("dice", *(f"dice:{name}" for name in self.names))

    @property
    def effect(self) -> str:
        """What the goal does to a segmentation, in words."""
        if isinstance(self.goal, Damage):
            return f"brings the mean Dice below {self.goal.below:g}"
        word, _, rest = self.goal.describe().partition(" ")
        return f"{word}s {rest}"

    def options(self, attack: str, steps: int) -> dict[str, Any]:
        """Return the search settings: all steps, until the segmentation is as good as lost."""
        if attack == "pgd":
            lost = ROOM * self.goal.below if isinstance(self.goal, Damage) else CONFIDENCE
            return {"steps": steps, "confidence": lost}
        return {"steps": steps, "stop": False} if attack in {"segpgd", "cospgd"} else {}

    def targets(self, data: ImageSet) -> Targets | None:
        """Return the masks in the model's classes: matched by name, or by number where the data names no classes."""
        if not check_classes(self.task, data):
            return None
        masks = data.targets
        if data.classes:
            return torch.tensor([self.task.output(name) for name in data.classes])[masks]
        try:
            self.task.check_targets(masks)
        except InputError as error:
            raise InputError(
                f"masks must hold numbers of the classes {', '.join(self.task.classes)}: {error}"
            ) from error
        return masks

    def labels(self, data: ImageSet, row: int, folder: Path) -> dict[str, str]:
        """Write the mask beside the attacked image, and return where it is."""
        return {"mask": data.write_mask(row, folder).relative_to(folder).as_posix()}

    def counts(self, targets: Targets) -> dict[str, int]:
        """Return the images that show each structure."""
        flat = targets.flatten(1)
        return {name: int((flat == k).any(1).sum()) for k, name in enumerate(self.names, 1)}

    def columns(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """Return Dice, lesions, missed and invented lesions of every structure, and the structures in words."""
        logits, truth = logits.detach().cpu(), targets.cpu()
        found = self.task.decide(logits)
        overlap = dice(found, truth, len(self.task.classes))[:, 1:].double()
        columns: dict[str, Any] = {
            "target": structures_of(self.task, truth),
            "decision": structures_of(self.task, found),
            "correct": self.task.correct(logits, truth).tolist(),
        }
        for k, name in enumerate(self.names, 1):
            pairs = [(there.numpy() == k, seen.numpy() == k) for there, seen in zip(truth, found, strict=True)]
            columns[f"dice:{name}"] = overlap[:, k - 1].tolist()
            columns[f"lesions:{name}"] = [float(label_lesions(there)[1]) for there, _ in pairs]
            columns[f"missed:{name}"] = [float(missed(there, seen).sum()) for there, seen in pairs]
            columns[f"invented:{name}"] = [float(invented(there, seen).sum()) for there, seen in pairs]
        return columns

    def said(self, logits: Logits, targets: Targets) -> list[str]:
        """Return the Dice of each structure of each image, in words."""
        return [self._dices(row) for row in dice(self.task.decide(logits), targets, len(self.task.classes))[:, 1:]]

    def _dices(self, overlap: Tensor) -> str:
        told = zip(self.names, overlap.tolist(), strict=True)
        return ", ".join(f"{name} {value:.3f}" for name, value in told if not math.isnan(value)) or "no structure"

    def read(self, rows: DataFrame) -> tuple[Overlaps, Right]:
        """Return the overlaps; a segmentation is right as long as the goal is not reached, where it makes sense."""
        parts = {kind: rows[[f"{kind}:{name}" for name in self.names]].to_numpy(dtype=float) for kind in PER_STRUCTURE}
        held = np.where(rows["success"].to_numpy(dtype=bool), 0.0, 1.0)
        return Overlaps(**parts), np.where(rows["eligible"].to_numpy(dtype=bool), held, np.nan)[:, None]

    def measure(self, values: Overlaps, sample: Resample) -> dict[str, Measured]:
        """Return ``dice``, and for each structure ``dice``, ``missed`` (a share) and ``invented`` (an image)."""
        found = {"dice": mean(values.mean, sample, (0.0, 1.0))}
        for k, name in enumerate(self.names):
            found[f"dice:{name}"] = mean(values.dice[:, k], sample, (0.0, 1.0))
            found[f"missed:{name}"] = ratio(values.missed[:, k], values.lesions[:, k], sample, (0.0, 1.0))
            found[f"invented:{name}"] = mean(values.invented[:, k], sample)
        return found

    def worst(self, conditions: Sequence[Answers[Overlaps]], sample: Resample) -> dict[str, Measured]:
        """Return the numbers of the lowest Dice, and of the most missed and invented lesions, of each image."""
        overlaps = [answers.found for answers in conditions]
        lowest = np.fmin.reduce([one.dice for one in overlaps])
        most = {kind: np.maximum.reduce([getattr(one, kind) for one in overlaps]) for kind in ("missed", "invented")}
        found = self.measure(Overlaps(dice=lowest, lesions=overlaps[0].lesions, **most), sample)
        # one attack seldom does its worst to all structures of an image at once
        before, after = overlaps[0].mean, np.fmin.reduce([one.mean for one in overlaps])
        found["dice"] = mean(after, sample, (0.0, 1.0))
        found["lost"] = ratio(np.nan_to_num(before - after), np.nan_to_num(before), sample, (0.0, 1.0))
        return found

    def kept(
        self, clean: Answers[Overlaps], attacked: Answers[Overlaps], stored: Answers[Overlaps], sample: Resample
    ) -> Measured:
        """Measure the share of the Dice lost to an attack that is still lost once its images are stored."""
        before, after, rounded = (np.nan_to_num(one.found.mean) for one in (clean, attacked, stored))
        lost = np.maximum(before - after, 0.0)
        return ratio(np.clip(before - rounded, 0.0, lost), lost, sample, (0.0, 1.0))

    def told(self, found: Mapping[str, Finding], grey: str) -> list[str]:
        """Return the mean Dice without an attack, and in the worst case."""
        clean, worst = found.get("clean.dice"), found.get(f"curve.worst.dice@{grey}")
        if worst is None or worst.value is None:
            return []
        lowest = f"{worst.value:.3f} in the worst case over all attacks"
        if clean is None or clean.value is None:
            return [f"The mean Dice is {lowest}."]
        return [f"The mean Dice falls from {clean.value:.3f} unattacked to {lowest}."]

    def telling(self, clean: Overlaps, attacked: Overlaps) -> Column:
        """Return how much of the mean Dice was lost."""
        lost: Column = clean.mean - attacked.mean
        return lost

    def frame(self, image: Image, attacked: Image, target: Targets) -> int | None:
        """Return the slice that shows most of the structures, or changed most where there are none."""
        if image.ndim < 4:  # noqa: PLR2004 - channel, row, column
            return None
        shown = (target[0] > 0).flatten(1).sum(1)
        return int(shown.argmax() if shown.any() else (attacked - image).abs().amax((0, 2, 3)).argmax())

    def side(self, subject: Subject, image: Image, target: Targets, frame: Frame) -> dict[str, Any]:
        """Save the image with the outlines of what the model finds in it."""
        logits = predict(subject, image[None], 1)
        overlap = dice(self.task.decide(logits), target, len(self.task.classes))[0, 1:]
        known = overlap[~overlap.isnan()]
        told = self._dices(overlap)
        return {
            "decision": told,
            "score": float(known.mean()) if len(known) else None,
            "image": self._outlined(image, self.task.decide(logits)[0], frame, ""),
        }

    def extras(self, image: Image, target: Targets, frame: Frame) -> list[dict[str, str]]:
        """Save the image with the outlines of the truth, and without any."""
        told = ", ".join(f"{name} {colour}" for name, colour in zip(self.names, cycle(COLOURS)))
        return [
            {
                "image": self._outlined(image, target[0], frame, "_truth"),
                "alt": "Outlines of the true structures",
                "caption": f"Truth: {told}",
            },
            {
                "image": self._outlined(image, torch.zeros_like(target[0]), frame, "_plain"),
                "alt": "Untouched image without outlines",
                "caption": "Untouched, without outlines",
            },
        ]

    def why(self, *, fell: bool) -> str:
        """Return why an example is shown."""
        if fell:
            return f"The attack {self.effect}."
        return "The goal was not reached; the Dice fell the furthest."

    def _outlined(self, image: Image, labels: Int[Tensor, "*space"], frame: Frame, suffix: str) -> str:
        shown = frame.cut(labels[None])[0].cpu().numpy()
        return frame.save(suffix, outlined(frame.pixels(image), shown, range(1, len(self.task.classes))))


def structures_of(task: Task, labels: Tensor) -> list[str]:
    """Return the names of the structures in each segmentation, joined by ``|`` (empty for none)."""
    return ["|".join(name for k, name in enumerate(task.classes) if k and bool((row == k).any())) for row in labels]
