"""What every task answers: loss per image, decision, scores; and what every goal answers."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Images, Logits, PerImage, Targets

CORNERS = 4
"""Numbers of a box."""


@dataclass(frozen=True, kw_only=True)
class Task(ABC):
    """A question with named outputs; the decision thresholds belong to it, not to the network."""

    name: ClassVar[str]
    """``multiclass``, ``multilabel``, ``segmentation`` or ``detection``."""
    dense: ClassVar[bool] = False
    """Whether every place of an image is answered for itself."""
    boxes: ClassVar[bool] = False
    """Whether the answers are candidates for objects, any number of them: after the logits of the classes come the
    left, top, right and bottom of a box, in pixels."""

    classes: tuple[str, ...]
    """Names of the outputs, in the order of the logits."""
    offsets: tuple[float, ...] = ()
    """Operating point in logits, subtracted before the decision; empty means 0 for every output."""

    def __post_init__(self) -> None:
        """Check the names and the operating point."""
        if len(set(self.classes)) != len(self.classes):
            raise InputError(f"class names must be distinct, got {list(self.classes)}")
        if self.offsets and len(self.offsets) != len(self.classes):
            raise InputError(
                f"offsets must have one value for each of {len(self.classes)} outputs, got {len(self.offsets)}"
            )

    def point(self, logits: Logits) -> Tensor:
        """Return the operating point in a shape that meets the logits; 0 where there is none."""
        corners = (0.0,) * (CORNERS if self.boxes and self.offsets else 0)
        return logits.new_tensor((*self.offsets, *corners) or (0.0,)).reshape(-1, *(1,) * (logits.ndim - 2))

    def shift(self, logits: Logits) -> Logits:
        """Return the logits with the operating point at zero: ``logits - offsets``."""
        return logits - self.point(logits) if self.offsets else logits

    def shape(self, images: Images) -> list[int]:
        """Return the shape that logits for these images must have; -1 where any number will do."""
        if self.boxes:
            return [len(images), len(self.classes) + CORNERS, -1]
        return [len(images), len(self.classes), *(images.shape[2:] if self.dense else ())]

    def check_shape(self, images: Images, logits: Tensor) -> None:
        """Raise `InputError` where logits for these images are not of the shape that the task needs."""
        wanted, found = self.shape(images), [*logits.shape]
        if len(wanted) == len(found) and all(one in {other, -1} for one, other in zip(wanted, found, strict=True)):
            return
        if self.boxes:
            raise InputError(
                f"the model must give {len(self.classes)} logits and 4 corners of a box for each candidate "
                f"[{wanted[0]}, {wanted[1]}, any], got {found}"
            )
        each = "place of each image" if self.dense else "image"
        raise InputError(f"the model must give one logit for each {each} and class {wanted}, got {found}")

    def output(self, name: str) -> int:
        """Return the position of the output called ``name``.

        Raises:
            InputError: There is no such class.
        """
        if name not in self.classes:
            raise InputError(f"class must be one of {', '.join(self.classes)}; got {name!r}")
        return self.classes.index(name)

    @abstractmethod
    def loss(self, logits: Logits, targets: Targets) -> PerImage:
        """Return the training loss of each image; unknown targets add nothing."""

    @abstractmethod
    def scores(self, logits: Logits) -> Tensor:
        """Return probabilities, shaped as the logits, before the operating point."""

    @abstractmethod
    def decide(self, logits: Logits) -> Tensor:
        """Return decisions at the operating point.

        Classes ``[batch]``, findings ``[batch, output]`` in {0, 1}, a class for each place, ``[batch, *space]``, or
        objects ``[batch, object, 5]``.
        """

    @abstractmethod
    def correct(self, logits: Logits, targets: Targets) -> Flags:
        """Return whether the whole decision agrees with everything that is known about the image."""

    @abstractmethod
    def check_targets(self, targets: Targets) -> None:
        """Raise `InputError` where the targets are not of this task."""


@dataclass(frozen=True, kw_only=True)
class Goal(ABC):
    """What an attacker wants. Success is a positive margin; an attack may climb either number."""

    task: ClassVar[str]
    """Name of the task that the goal belongs to."""

    @abstractmethod
    def margin(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return a number that is positive exactly where the goal is reached, in logits."""

    @abstractmethod
    def objective(self, task: Task, logits: Logits, targets: Targets) -> PerImage:
        """Return the smooth objective that gradient attacks climb; higher is closer to the goal."""

    @abstractmethod
    def applies(self, task: Task, targets: Targets) -> Flags:
        """Return which images the goal makes sense for (one of the target class cannot be driven to it)."""

    @abstractmethod
    def describe(self) -> str:
        """Return the goal in words, for reports."""
