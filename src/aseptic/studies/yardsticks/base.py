"""The interface between an audit and a task: what is measured on a model of that task, and how it is told."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from jaxtyping import Bool, Float
from pandas import DataFrame

from aseptic.core.errors import InputError
from aseptic.core.record import Finding
from aseptic.core.types import Image, Logits, Targets
from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import Column, Measured, Resample, ratio
from aseptic.models.subject import Subject
from aseptic.studies.yardsticks.drawing import Frame
from aseptic.tasks.base import Goal, Task

Values = TypeVar("Values")
"""What a yardstick reads from the rows of one condition."""
CONFIDENCE = 4.0
"""Logits past the boundary that PGD goes, so that the AUROC and the effect of rounding are not those of bare flips."""
Right = Float[np.ndarray, "image output"]
"""1 where a decision is right, 0 where wrong, NaN where it does not count; at least one column."""


@dataclass(frozen=True, kw_only=True)
class Battery:
    """Attacks on the whole curve, and further ones at the reference budget."""

    attacks: tuple[str, ...] = ("fgsm", "pgd")
    """Attacks by name, weakest first; the last one is shuffled for the noise control, stored and shown."""
    probes: tuple[str, ...] = ()
    """Attacks by name."""


@dataclass(frozen=True, kw_only=True)
class Words:
    """How the numbers of a task are told. Braces are filled in: ``{who}`` an attack, ``{grey}`` grey levels."""

    titles: Mapping[str, str]
    """Metric to the title of its finding under attack; ``turned``, ``only`` and ``success`` are always needed."""
    clean: Mapping[str, str]
    """Metric to its title on untouched images."""
    clean_each: Mapping[str, str]
    """Metric with a class to its title on untouched images: ``{name}``."""
    each: Mapping[str, str] = field(default_factory=dict)
    """Metric with a class to the title of its finding under attack: ``{name}`` too."""
    harm: str
    """Title of what an attack did to one class: ``{name}``, ``{who}``."""
    stored: str
    """Title of what is left after storage: ``{grey}``, ``{how}``."""
    turned: str
    """The verdict's sentence: ``{grey}``, ``{share}``, ``{span}``, ``{whose}``, ``{images}``, ``{effect}``."""
    whose: tuple[str, str]
    """``{whose}`` with labels, and without."""
    unit: str
    """What control noise costs: ``points of accuracy``."""
    lost: str
    """What control noise does not cost: ``accuracy``."""
    kept: str
    """The verdict's sentence on storage: ``{share}``."""
    unlabelled: str
    """The verdict's sentence on data without labels."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Answers(Generic[Values]):
    """Everything that was answered under one condition, image by image."""

    found: Values
    """What the yardstick read."""
    right: Right
    """Which decisions are right."""
    success: Bool[np.ndarray, " image"]
    """Whether the attacker's goal is reached."""
    eligible: Bool[np.ndarray, " image"]
    """Whether the goal makes sense for the image."""
    queries: Float[np.ndarray, " image"]
    """Questions until the goal was first reached; inf where it never was, NaN where none was asked."""


@dataclass(frozen=True, kw_only=True)
class Yardstick(ABC, Generic[Values]):
    """What an audit measures on models of one task.

    The audit attacks, stores, resamples and writes; whatever differs between tasks it asks a yardstick. A new task is
    one subclass and one line in `aseptic.studies.yardsticks.catalogue.YARDSTICKS`. It says

    - the truth of a data set in the model's terms (`targets`, `counts`);
    - the **raw rows**: `columns` turns the model's answers to some images into named columns, one entry an image, and
      is the only place that sees logits; from then on nothing sees a model or an image;
    - the numbers: `read` takes the rows of one condition back, with which decisions are ``right``; `measure` and
      `worst` turn what was read into estimates by name. A name is ``METRIC`` or ``METRIC:CLASS``;
    - which of these names go where (the class attributes), and in which words (`words`);
    - the examples: how telling an image is (`telling`), and its pictures (`side`, `extras`).

    What the audit does itself with ``right``, ``success`` and ``eligible``: the share of right decisions that each
    attack and the worst case of all attacks turned wrong (which gives the verdict and its severity), those that one
    attack alone turned, those that stay wrong when stored, and the doubt about masked gradients. A task whose numbers
    are not means over images (a mean average precision) keeps in ``Values`` what it needs and resamples by
    ``sample.weights``.
    """

    task: Task
    """The model's task."""
    goal: Goal
    """What the attacker wants."""

    batteries: ClassVar[Mapping[str, Battery]]
    """Name to attacks that serve the task: ``quick``, ``standard``, ``full``."""
    main: ClassVar[str]
    """The metric that the verdict, the noise control (``MAIN_drop``) and the first curve are about; more is better."""
    drawn: ClassVar[tuple[str, ...]]
    """Metrics of `measure` that are reported for every attack at every budget, and for control noise; `main` first."""
    overall: ClassVar[tuple[str, ...]]
    """Metrics of `measure` on untouched images; a name that `measure` does not give is left out."""
    per_class: ClassVar[tuple[str, ...]]
    """Metrics of `measure` with a class, on untouched images."""
    each: ClassVar[tuple[str, ...]] = ()
    """Metrics with a class that are reported for every attack at every budget, too."""
    compared: ClassVar[tuple[str, ...]] = ()
    """Metrics of `measure` by which attacks are compared at the reference budget, besides what they turned."""
    harm: ClassVar[str]
    """Metric with a class that tells who is harmed by the strongest attack at the reference budget."""
    grave: ClassVar[tuple[str, ...]] = ("turned",)
    """Shares of `worst` (and ``turned``) that the severity of the verdict follows; the largest one counts."""
    words: ClassVar[Words]
    """How it is told."""
    unexplained: ClassVar[str] = ""
    """Why explanation maps make no sense for the task; empty where they do."""

    @property
    def names(self) -> tuple[str, ...]:
        """The classes that metrics with a class are about."""
        return self.task.classes

    @property
    @abstractmethod
    def shown(self) -> tuple[str, ...]:
        """The metrics of `measure` that training states of the test images."""

    @property
    def effect(self) -> str:
        """What reaching the goal does, in words that follow "an attack"; for the sentences that need it."""
        return ""

    def options(self, attack: str, steps: int) -> dict[str, Any]:
        """Return the search settings of an attack, where they are not its own; ``steps`` is what the user asked for."""
        return {"steps": steps, "confidence": CONFIDENCE} if attack == "pgd" else {}

    @abstractmethod
    def targets(self, data: ImageSet) -> Targets | None:
        """Return the truth in the model's order of outputs; None where the data has no labels.

        Raises:
            InputError: The data is of another task, or has a class that the model lacks.
        """

    @abstractmethod
    def counts(self, targets: Targets) -> dict[str, int]:
        """Return the number of images that show each class."""

    @abstractmethod
    def labels(self, data: ImageSet, row: int, folder: Path) -> dict[str, str]:
        """Return the cells of an image in the ``labels.csv`` of a copy of the data in ``folder``, by column.

        Targets that are files of their own are written into the folder.
        """

    @abstractmethod
    def said(self, logits: Logits, targets: Targets) -> list[str]:
        """Return what the model says of each image, in words, for a manifest."""

    @abstractmethod
    def columns(self, logits: Logits, targets: Targets) -> dict[str, Any]:
        """Return the columns of raw rows: ``target`` and ``decision`` in words, ``correct``, and what `read` needs."""

    @abstractmethod
    def read(self, rows: DataFrame) -> tuple[Values, Right]:
        """Return what the rows of one condition hold, and which decisions are right.

        The rows have the columns of `columns`, and ``success`` and ``eligible``.
        """

    @abstractmethod
    def measure(self, values: Values, sample: Resample) -> dict[str, Measured]:
        """Return every number of one condition, by name; what is undefined is there, and not measured."""

    @abstractmethod
    def worst(self, conditions: Sequence[Answers[Values]], sample: Resample) -> dict[str, Measured]:
        """Return the numbers of the worst case over conditions of the same images; `main` among them.

        The first condition is the untouched images, because an attacker may also leave an image alone.
        """

    def kept(
        self, clean: Answers[Values], attacked: Answers[Values], stored: Answers[Values], sample: Resample
    ) -> Measured:
        """Measure the share of what an attack did that is left once its images are stored."""
        del self
        fell = np.nan_to_num(clean.right * (1 - attacked.right))
        return ratio(np.nansum((1 - stored.right) * fell, 1), fell.sum(1), sample, (0.0, 1.0))

    @abstractmethod
    def told(self, found: Mapping[str, Finding], grey: str) -> list[str]:
        """Return what the verdict says of `main`, in sentences.

        Args:
            found: Findings by id: ``clean.MAIN`` (absent without labels), ``curve.worst.MAIN@GREY``, and the others.
            grey: Reference budget, as ids have it.
        """

    def changed(self, clean: Values, attacked: Values) -> Mapping[str, Column]:
        """Return which images changed their decision on each output that the goal is not about, 1 or 0.

        Nothing where the goal is about all outputs, or where the outputs exclude each other.
        """
        del self, clean, attacked
        return {}

    @abstractmethod
    def telling(self, clean: Values, attacked: Values) -> Column:
        """Return how telling an example each image is: how far the answer moved, ``[image]``."""

    @abstractmethod
    def frame(self, image: Image, attacked: Image, target: Targets) -> int | None:
        """Return the slice of a volume that is shown (along its first space axis), None for a picture."""

    @abstractmethod
    def side(self, subject: Subject, image: Image, target: Targets, frame: Frame) -> dict[str, Any]:
        """Save the pictures of one image before or after the attack.

        Returns:
            ``decision`` (text), ``score`` (number), ``image`` (file); and maps by the names that the report knows.
        """

    def extras(self, image: Image, target: Targets, frame: Frame) -> list[dict[str, str]]:
        """Save further pictures of an example: each has an ``image`` (file), an ``alt`` text and a ``caption``."""
        del image, target, frame
        return []

    def why(self, *, fell: bool) -> str:
        """Return why an example is shown."""
        return "A right decision that became wrong." if fell else "The decision held; its score moved the furthest."


def percent(value: float | None) -> str:
    """Return a share as a percentage with as many digits as help.

    >>> percent(0.9714), percent(0.0031), percent(None)
    ('97.1 %', '0.3 %', 'not measured')
    """
    return "not measured" if value is None else f"{100 * value:.1f} %"


def check_classes(task: Task, data: ImageSet) -> bool:
    """Return whether the data is labelled; its classes must be outputs of the model.

    Raises:
        InputError: The data is of another task, or has a class that the model does not have.
    """
    if data.task is None:
        return False
    if data.task != task.name:
        raise InputError(f"data must be {task.name} as the model is, got {data.task}")
    missing = [name for name in data.classes if name not in task.classes]
    if missing:
        raise InputError(
            f"labels must be among the model's classes {', '.join(task.classes)}; got {', '.join(missing)}"
        )
    return True
