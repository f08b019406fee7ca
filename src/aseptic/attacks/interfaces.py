"""What an attacker sees of a model: everything, scores, rounded scores, the decision, or one flag."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Logits, Number
from aseptic.tasks.base import Task

SHOWS = ("decisions", "scores", "gradients")
"""What interfaces show, the least first."""


@dataclass(frozen=True, kw_only=True)
class Interface(ABC):
    """One way to see a model's answers. What it hides is 0 in the logits that it shows."""

    shows: ClassVar[str]
    """The most that an attack may rely on, one of `SHOWS`."""

    @abstractmethod
    def show(self, task: Task, logits: Logits) -> Logits:
        """Return what is seen of the answers, in the shape and with the operating point of logits."""

    @abstractmethod
    def describe(self) -> str:
        """Return the interface in words, for reports."""


@dataclass(frozen=True, kw_only=True)
class Gradients(Interface):
    """The attacker holds the network itself."""

    shows: ClassVar[str] = "gradients"

    def show(self, task: Task, logits: Logits) -> Logits:
        """Return the logits as they are."""
        del task
        return logits

    def describe(self) -> str:
        """Return the interface in words."""
        return "the network itself, with gradients"


@dataclass(frozen=True, kw_only=True)
class Scores(Interface):
    """A device that prints a probability for every output, to so many decimals.

    What lies behind equal probabilities (a constant added to the logits of all classes) is not seen.

    Raises:
        InputError: The number of decimals is outside 0 to 6.
    """

    shows: ClassVar[str] = "scores"

    decimals: int | None = None
    """Decimals of the probabilities; None prints them as they are."""

    def __post_init__(self) -> None:
        """Check the number of decimals."""
        if self.decimals is not None and not 0 <= self.decimals <= 6:  # noqa: PLR2004 - float32 has no more
            raise InputError(f"decimals must lie in 0..6 or be None, got {self.decimals}")

    def show(self, task: Task, logits: Logits) -> Logits:
        """Return logits that have the printed probabilities."""
        if self.decimals is None:
            return logits.log_softmax(1) if task.name != "multilabel" else logits
        least = 0.25 * 10.0**-self.decimals  # stands for a printed 0, and lies below the next number printed
        printed = task.scores(logits).double().round(decimals=self.decimals).clamp(least, 1 - least)
        shown = printed.log() if task.name != "multilabel" else printed.logit()
        return shown.to(logits)

    def describe(self) -> str:
        """Return the interface in words."""
        return "scores" if self.decimals is None else f"scores to {self.decimals} decimals"


@dataclass(frozen=True, kw_only=True)
class LabelOnly(Interface):
    """A device that names its decision: the class, or the findings that are present."""

    shows: ClassVar[str] = "decisions"

    def show(self, task: Task, logits: Logits) -> Logits:
        """Return 1 above the operating point for what was decided for, and 1 below it for the rest."""
        decided = task.decide(logits)
        if task.name != "multilabel":
            decided = decided[:, None] == _outputs(logits)
        return 2 * decided.to(logits) - 1 + task.point(logits)

    def describe(self) -> str:
        """Return the interface in words."""
        return "the decision only"


@dataclass(frozen=True, kw_only=True)
class Flag(Interface):
    """A device that raises one flag when one output's probability is above a threshold, and says nothing else.

    Raises:
        InputError: The threshold is outside (0, 1).
    """

    shows: ClassVar[str] = "decisions"

    name: str
    """Class or finding that is flagged."""
    threshold: Number = 0.5
    """Probability above which the flag is raised."""

    def __post_init__(self) -> None:
        """Check the threshold."""
        if not 0 < self.threshold < 1:
            raise InputError(f"threshold must lie in (0, 1), got {self.threshold!r}")

    def show(self, task: Task, logits: Logits) -> Logits:
        """Return 1 above the operating point where the flag is up, 1 below it where it is down."""
        column = task.output(self.name)
        raised = task.scores(logits)[:, column : column + 1] > self.threshold
        seen = (_outputs(logits) == column) * (2 * raised.to(logits) - 1)
        return seen + task.point(logits)

    def describe(self) -> str:
        """Return the interface in words."""
        return f"a flag for {self.name!r} above {self.threshold:g}"


INTERFACES = "gradients, scores, scores:DECIMALS, label, flag:NAME or flag:NAME:THRESHOLD"
"""How an interface is written."""


def parse_interface(text: str, task: Task) -> Interface:
    """Return the interface that is written as one of `INTERFACES`.

    Raises:
        InputError: It is none of them, or names an output, a number of decimals or a threshold that cannot be.
    """
    kind, _, rest = text.partition(":")
    if text == "gradients":
        return Gradients()
    if text == "label":
        return LabelOnly()
    if kind == "scores":
        if rest and not rest.isdecimal():
            raise InputError(f"interface scores:DECIMALS needs a whole number, got {text!r}")
        return Scores(decimals=int(rest) if rest else None)
    if kind == "flag" and rest:
        if rest in task.classes:
            return Flag(name=rest)
        name, _, threshold = rest.rpartition(":")
        task.output(name or rest)
        try:
            return Flag(name=name, threshold=float(threshold))
        except ValueError:
            raise InputError(f"interface flag:NAME:THRESHOLD needs a number, got {text!r}") from None
    raise InputError(f"interface must be one of {INTERFACES}; got {text!r}")


def _outputs(logits: Logits) -> Tensor:
    return logits.new_tensor(range(logits.shape[1])).reshape(-1, *(1,) * (logits.ndim - 2))
