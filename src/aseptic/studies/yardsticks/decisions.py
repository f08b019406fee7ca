"""The yardstick of classifiers: accuracy, AUROC, and decisions that an attack turns."""

import math
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from pandas import DataFrame
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.record import Finding
from aseptic.core.types import Image, Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.explain.base import decided
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.metrics.bootstrap import Column, Measured, Resample, ratio
from aseptic.metrics.summary import Predictions, measure
from aseptic.models.subject import Subject
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.base import Answers, Battery, Right, Words, Yardstick, check_classes, percent
from aseptic.studies.yardsticks.drawing import Frame, overlay
from aseptic.tasks.base import Task

COMPARED = ("gradcam", "saliency")
"""Explainers whose maps are compared, by the name that findings use."""
STANDARD = ("apgd-ce", "apgd-t", "fab-t", "square")
"""The four of AutoAttack (Croce and Hein, 2020); each is run on every image, so that they can be compared."""
WORDS = Words(
    titles={
        "accuracy": "Right decisions under {who} within {grey} grey levels",
        "auroc_macro": "Mean AUROC of the images that {who} made within {grey} grey levels",
        "success": "Images that {who} brought to the goal within {grey} grey levels, of those not there before",
        "turned": "Right decisions that {who} turned wrong within {grey} grey levels",
        "only": "Right decisions that {who}, and no other attack, turned wrong within {grey} grey levels",
    },
    clean={
        "exact_match": "Clean exact match",
        "balanced_accuracy": "Clean balanced accuracy",
        "auroc_macro": "Clean auroc macro",
        "ece": "Clean ece",
        "brier": "Clean brier",
        "nll": "Clean nll",
    },
    clean_each={
        "auroc": "Clean AUROC of {name}",
        "sensitivity": "Clean sensitivity of {name} at the operating point",
        "specificity": "Clean specificity of {name} at the operating point",
    },
    harm="Recall of {name} under {who}",
    stored="Decisions turned wrong within {grey} grey levels that stay wrong when stored at {how}",
    turned="Changing no pixel by more than {grey} of 255 grey levels turns {share} of its {whose} wrong{span}, "
    "measured on {images}.",
    whose=("right decisions", "decisions"),
    unit="points of accuracy",
    lost="accuracy",
    kept="Stored as 8-bit images, {share} of these wrong decisions remain.",
    unlabelled="The data has no labels: a decision counts as wrong when it differs from the clean one.",
)


@dataclass(frozen=True, kw_only=True)
class Decisions(Yardstick[Predictions]):
    """Classes or findings of whole images: every output is a decision, right or wrong."""

    batteries: ClassVar[Mapping[str, Battery]] = {
        "quick": Battery(),
        "standard": Battery(probes=STANDARD),
        "full": Battery(probes=(*STANDARD, "cw-linf", "deepfool", "fmn", "hopskipjump")),
    }
    main: ClassVar[str] = "accuracy"
    drawn: ClassVar[tuple[str, ...]] = ("accuracy", "auroc_macro")
    overall: ClassVar[tuple[str, ...]] = (
        "accuracy", "exact_match", "balanced_accuracy", "auroc_macro", "ece", "brier", "nll",
    )  # fmt: skip
    per_class: ClassVar[tuple[str, ...]] = ("auroc", "sensitivity", "specificity")
    words: ClassVar[Words] = WORDS

    @property
    def shown(self) -> tuple[str, ...]:
        """AUROC and accuracies."""
        return ("auroc_macro", "accuracy", "balanced_accuracy")

    def targets(self, data: ImageSet) -> Targets | None:
        """Return class numbers, or findings with NaN for unknown, matched by name."""
        if not check_classes(self.task, data):
            return None
        places = torch.tensor([self.task.output(name) for name in data.classes])
        return self.place(data, places)

    def truth(self, data: ImageSet, row: int) -> Targets:
        """Return the target of one image of labelled data."""
        found = self.targets(data.select([row]))
        if found is None:
            raise InputError(f"{data.ids[row]} has no label")
        return found

    @abstractmethod
    def place(self, data: ImageSet, places: Tensor) -> Targets:
        """Return the targets with the classes of the data at the ``places`` of the model's outputs."""

    def measure(self, values: Predictions, sample: Resample) -> dict[str, Measured]:
        """Return the numbers of `aseptic.metrics.summary`; ``accuracy`` counts findings for a multi-label model."""
        found = measure(values, sample)
        if "accuracy_findings" in found:
            found["exact_match"] = found["accuracy"]
            found["accuracy"] = found.pop("accuracy_findings")
        return found

    def worst(self, conditions: Sequence[Answers[Predictions]], sample: Resample) -> dict[str, Measured]:
        """Return the share of decisions that are right under every condition."""
        right = reduce(np.minimum, [answers.right for answers in conditions])
        known = ~np.isnan(right)
        top, bottom = np.nansum(right, 1), known.sum(1).astype(float)
        return {"accuracy": ratio(top, bottom, sample, (0.0, 1.0))}

    def said(self, logits: Logits, targets: Targets) -> list[str]:
        """Return the decisions."""
        del targets
        return names_of(self.task, self.task.decide(logits.cpu()))

    def columns(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """Return score, decision and target of every output, and decision and target in words."""
        logits = logits.detach().double().cpu()  # near 1, float32 probabilities would tie
        scores, decisions = self.task.scores(logits), self.task.decide(logits)
        columns: dict[str, Any] = {
            "target": names_of(self.task, targets),
            "decision": names_of(self.task, decisions),
            "correct": self.task.correct(logits, targets).tolist(),
        }
        parts: dict[str, Callable[[int], Tensor]] = {
            "score": lambda k: scores[:, k],
            "decision": lambda k: column(decisions, k),
            "target": lambda k: column(targets, k),
        }
        return columns | {
            f"{kind}:{name}": part(k).tolist() for kind, part in parts.items() for k, name in enumerate(self.names)
        }

    def cells(self, rows: DataFrame, kind: str) -> Any:  # noqa: ANN401 - a float array [image, output]
        """Return one number for each image and output."""
        return rows[[f"{kind}:{name}" for name in self.names]].to_numpy(dtype=float)

    def told(self, found: Mapping[str, Finding], grey: str) -> list[str]:
        """Return the accuracy without an attack."""
        del grey
        clean = found.get("clean.accuracy")
        return [] if clean is None else [f"Unattacked, {percent(clean.value)} of its decisions are right."]

    def telling(self, clean: Predictions, attacked: Predictions) -> Column:
        """Return the largest change of a score."""
        moved: Column = np.abs(attacked.scores - clean.scores).max(1)
        return moved

    def frame(self, image: Image, attacked: Image, target: Targets) -> int | None:
        """Return the slice that changed most."""
        del target
        change = attacked - image
        if change.ndim < 4:  # noqa: PLR2004 - channel, row, column
            return None
        return int(change.abs().amax((0, *range(2, change.ndim))).argmax())

    def side(self, subject: Subject, image: Image, target: Targets, frame: Frame) -> dict[str, Any]:
        """Save the image, and its explanation maps for the decision that was made."""
        del target
        batch, task = image[None], subject.task
        logits, output = predict(subject, batch, 1), decided(subject, batch)
        base = frame.pixels(image)
        told = {
            "decision": names_of(task, task.decide(logits))[0] or "no finding",
            "score": float(task.scores(logits)[0, output[0]]),
            "image": frame.save("", base),
        }
        for kind, label in zip(("map", "saliency"), COMPARED, strict=True):
            try:
                found = EXPLAINERS.load(label)(subject, batch, output)[0]
            except InputError:
                continue
            told[kind] = frame.save(f"_{label}", overlay(base, frame.cut(found[None])[0]))
        return told


@dataclass(frozen=True, kw_only=True)
class Classes(Decisions):
    """One class out of several."""

    harm: ClassVar[str] = "sensitivity"
    words: ClassVar[Words] = replace(
        WORDS, clean={"accuracy": "Clean share of images whose class is decided rightly", **WORDS.clean}
    )

    def place(self, data: ImageSet, places: Tensor) -> Targets:
        """Return class numbers."""
        return places[data.targets.long()]

    def labels(self, data: ImageSet, row: int, folder: Path) -> dict[str, str]:
        """Return the class."""
        del folder
        return {"label": names_of(self.task, self.truth(data, row))[0]}

    def counts(self, targets: Targets) -> dict[str, int]:
        """Return the images of each class."""
        found = torch.bincount(targets.long(), minlength=len(self.names)).tolist()
        return dict(zip(self.names, found, strict=True))

    def read(self, rows: DataFrame) -> tuple[Predictions, Right]:
        """Return the predictions; the class is right or not."""
        decided_as, true = (self.cells(rows, kind).argmax(1) for kind in ("decision", "target"))
        found = Predictions(
            task=self.task.name,
            classes=self.names,
            scores=self.cells(rows, "score"),
            decisions=decided_as,
            targets=true,
        )
        return found, (decided_as == true).astype(float)[:, None]


@dataclass(frozen=True, kw_only=True)
class Findings(Decisions):
    """Several findings, each decided for itself."""

    harm: ClassVar[str] = "auroc"
    words: ClassVar[Words] = replace(
        WORDS,
        clean={"accuracy": "Clean share of known findings that are decided rightly", **WORDS.clean},
        harm="AUROC of {name} under {who}",
    )

    def place(self, data: ImageSet, places: Tensor) -> Targets:
        """Return findings; those that the data lacks are unknown."""
        targets = torch.full((len(data), len(self.names)), torch.nan)
        targets[:, places] = data.targets
        return targets

    def labels(self, data: ImageSet, row: int, folder: Path) -> dict[str, str]:
        """Return 1, 0 or nothing (unknown) for each finding."""
        del folder
        values = self.truth(data, row)[0].tolist()
        return {name: "" if math.isnan(value) else f"{value:g}" for name, value in zip(self.names, values, strict=True)}

    def counts(self, targets: Targets) -> dict[str, int]:
        """Return the images that show each finding."""
        return dict(zip(self.names, (targets == 1).sum(0).tolist(), strict=True))

    def changed(self, clean: Predictions, attacked: Predictions) -> Mapping[str, Column]:
        """Return the decisions on every finding but the goal's."""
        aim = getattr(self.goal, "name", None)
        moved = np.asarray(clean.decisions != attacked.decisions, dtype=float)
        return {name: moved[:, k] for k, name in enumerate(self.names) if name != aim} if aim else {}

    def read(self, rows: DataFrame) -> tuple[Predictions, Right]:
        """Return the predictions; every known finding is right or not."""
        decisions, targets = self.cells(rows, "decision"), self.cells(rows, "target")
        found = Predictions(
            task=self.task.name,
            classes=self.names,
            scores=self.cells(rows, "score"),
            decisions=decisions,
            targets=targets,
        )
        return found, np.where(np.isnan(targets), np.nan, (decisions == targets).astype(float))


def names_of(task: Task, decisions: Tensor) -> list[str]:
    """Return decisions in words: the class, or the findings joined by ``|`` (empty for none)."""
    if decisions.ndim == 1:
        return [task.classes[int(value)] for value in decisions]
    return ["|".join(name for name, there in zip(task.classes, row, strict=True) if there == 1) for row in decisions]


def column(values: Tensor, k: int) -> Tensor:
    """Return column ``k`` of a decision: one-hot for classes, as it is for findings (NaN = unknown)."""
    return (values == k).float() if values.ndim == 1 else values[:, k].float()
