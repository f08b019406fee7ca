"""What every scanner of training sets is: rows of numbers of each image, compared within each class."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import ClassVar, final

import torch
from jaxtyping import Float, Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.rng import derive
from aseptic.core.types import PerImage, Targets
from aseptic.data.imageset import ImageSet
from aseptic.models.features import PENULTIMATE, Rows, pooled, read_features
from aseptic.models.subject import Subject

TASKS = ("multiclass", "multilabel")
"""Tasks with labels of whole images."""

Others = Float[Tensor, "other unit"]
"""Numbers of the images without a label."""
Watch = Callable[[int, int], None]
"""Called with the images that were read and their number."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Evidence:
    """All that a scanner needs of a set, read once: it can be judged again with other labels."""

    rows: Rows
    """Numbers of each image, in the order of the set."""
    targets: Targets
    """Class numbers, or findings with NaN for unknown, as the set has them."""
    classes: tuple[str, ...]
    """Names of the classes or findings."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Images with the same label."""

    name: str
    """Class; finding; or finding and ``absent``."""
    rows: Int[Tensor, " member"]
    """Positions of the images."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Look:
    """What a scanner says about one group."""

    suspicion: Float[Tensor, " member"]
    """One number for each image of the group; higher is more suspicious, and groups compare."""
    statistic: float
    """One number for the group; higher is more suspicious."""
    details: Mapping[str, float] = field(default_factory=dict)
    """Further numbers, by name."""


@dataclass(frozen=True, kw_only=True)
class GroupScan:
    """One class, or the presence or absence of one finding."""

    name: str
    """Which."""
    images: int
    """Images with this label."""
    statistic: float
    """Higher is more suspicious; what it is, the scanner's class says."""
    details: Mapping[str, float]
    """Further numbers, by name."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SetScan:
    """What a scanner found; whether that is much, only the same numbers of clean sets can say."""

    suspicion: PerImage
    """One number for each image, in the order of the set; higher is more suspicious, NaN was not looked at."""
    groups: tuple[GroupScan, ...]
    """The groups that were looked at."""
    statistic: float
    """That of the most suspicious group."""
    skipped: tuple[str, ...]
    """Groups that were not looked at, and why."""

    def ranked(self) -> list[int]:
        """Return the positions of the images that were looked at, the most suspicious first."""
        order: list[int] = self.suspicion.nan_to_num(-math.inf).argsort(descending=True, stable=True).tolist()
        return order[: int((~self.suspicion.isnan()).sum())]


@dataclass(frozen=True, kw_only=True)
class SetScanner(ABC):
    """One method with its settings: `read` looks at images a batch at a time, `look` at the numbers of one label.

    Images are compared with those of the same label, in each finding for itself where there are several: an image's
    suspicion is the largest that one of its labels gives it. The order of the images and the size of the batches play
    no part.
    """

    needs_model: ClassVar[bool] = True
    """Whether a network must be given: one that was trained on the set, and so has learned the trigger if any."""

    at_least: int = 16
    """Fewest images with a label that are looked at."""
    absent: bool = False
    """Whether, of findings, the images that are known to lack one are looked at, too: a trigger that hides findings is
    among these."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if self.at_least < 4:  # noqa: PLR2004 - below which nothing stands out
            raise InputError(f"at_least must be at least 4, got {self.at_least}")

    @abstractmethod
    def read(self, batches: Iterable[Tensor], subject: Subject | None) -> Rows:
        """Return one row of numbers for each image, on the CPU.

        Args:
            batches: All images of a set.
            subject: The network, where one is needed.
        """

    @abstractmethod
    def look(self, rows: Rows, rest: Others, *, seed: int) -> Look:
        """Return how suspicious the images of one label are; a pure function.

        Args:
            rows: Numbers of the images with the label, ``at_least`` or more of them.
            rest: Those of the images without it.
            seed: Root of all randomness.
        """

    @final
    def collect(
        self, data: ImageSet, subject: Subject | None = None, *, batch_size: int = 32, watch: Watch | None = None
    ) -> Evidence:
        """Return what `judge` needs of the set; one pass over the images.

        Raises:
            InputError: The set is not labelled for classes or findings, has no images, or there is no model.
            ContractError: The model was changed.
        """
        if data.task not in TASKS:
            raise InputError(f"a scanned set must be labelled for {' or '.join(TASKS)}, got {data.task or 'no labels'}")
        if not len(data):
            raise InputError(f"a scanned set must have images, and {data.name} has none")
        targets = data.targets
        rows = self.read(_images(data, batch_size, watch), subject)
        return Evidence(rows=rows, targets=targets, classes=data.classes)

    @final
    def model(self, subject: Subject | None) -> Subject:
        """Return the network.

        Raises:
            InputError: There is none.
        """
        if subject is None:
            raise InputError(f"{type(self).__name__} needs the model that was trained on the set, got none")
        return subject

    @final
    def judge(self, evidence: Evidence, *, seed: int = 0) -> SetScan:
        """Return what the numbers of each label say.

        Raises:
            InputError: No label has enough images.
        """
        suspicion = torch.full((len(evidence.rows),), -math.inf)
        found, skipped = [], []
        for group in grouped(evidence, absent=self.absent):
            if len(group.rows) < self.at_least:
                skipped.append(f"{group.name}: {len(group.rows)} images, needs {self.at_least}")
                continue
            outside = torch.ones(len(evidence.rows), dtype=torch.bool)
            outside[group.rows] = False
            own = derive(seed, "set scan", group.name)
            look = self.look(evidence.rows[group.rows], evidence.rows[outside], seed=own)
            suspicion[group.rows] = torch.maximum(suspicion[group.rows], look.suspicion)
            found.append(
                GroupScan(name=group.name, images=len(group.rows), statistic=look.statistic, details=look.details)
            )
        if not found:
            raise InputError(f"some label must have at least {self.at_least} images; got {', '.join(skipped)}")
        return SetScan(
            suspicion=suspicion.masked_fill(suspicion.isinf(), math.nan),
            groups=tuple(found),
            statistic=max(one.statistic for one in found),
            skipped=tuple(skipped),
        )

    @final
    def scan(
        self,
        data: ImageSet,
        subject: Subject | None = None,
        *,
        seed: int = 0,
        batch_size: int = 32,
        watch: Watch | None = None,
    ) -> SetScan:
        """Return how suspicious each image and each label of a set is: `collect`, then `judge`.

        Args:
            data: The training set, as the network is fed it.
            subject: The network that was trained on it; the same afterwards as before.
            seed: Root of all randomness.
            batch_size: Images that are in memory at a time.
            watch: Told how far it is.

        Raises:
            InputError: As `collect` and `judge`.
            ContractError: The model was changed.
        """
        return self.judge(self.collect(data, subject, batch_size=batch_size, watch=watch), seed=seed)


@dataclass(frozen=True, kw_only=True)
class FeatureScanner(SetScanner):
    """A scanner that looks at the features of one layer."""

    layer: str = PENULTIMATE
    """Which features: those before the last layer with weights, or the output of a module."""

    def kept(self, value: Tensor) -> Rows:
        """Return what is kept of the features: the mean of each over its places."""
        return pooled(value)

    @final
    def read(self, batches: Iterable[Tensor], subject: Subject | None) -> Rows:
        """Return the features."""
        return read_features(self.model(subject), batches, [self.layer], reduce=self.kept)[self.layer]


def grouped(evidence: Evidence, *, absent: bool = False) -> list[Group]:
    """Return the images of each class; or those with each finding and, where asked for, those without it."""
    targets = evidence.targets
    if targets.ndim == 1:
        return [
            Group(name=name, rows=(targets == number).nonzero()[:, 0]) for number, name in enumerate(evidence.classes)
        ]
    found = []
    for number, name in enumerate(evidence.classes):
        found.append(Group(name=name, rows=(targets[:, number] == 1).nonzero()[:, 0]))
        if absent:
            found.append(Group(name=f"{name} absent", rows=(targets[:, number] == 0).nonzero()[:, 0]))
    return found


def _images(data: ImageSet, batch_size: int, watch: Watch | None) -> Iterator[Tensor]:
    done = 0
    for batch in data.batches(batch_size):
        yield batch.images
        done += len(batch.images)
        if watch is not None:
            watch(done, len(data))
