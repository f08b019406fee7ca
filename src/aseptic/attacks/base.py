"""What every evasion attack is: a search inside a threat, through a model that counts what is asked of it."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import torch
from torch import Tensor

from aseptic.attacks.checks import allowed_size
from aseptic.attacks.interfaces import Gradients, Interface
from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Flags, Images, Logits, Rows, Targets
from aseptic.models.subject import Subject
from aseptic.ops.balls import ORDER, Budget
from aseptic.tasks.base import Goal, Task


@dataclass(frozen=True)
class Threat:
    """What the attacker wants, and how much may be changed and seen. It belongs to the audit, not to a method.

    Raises:
        InputError: The number of queries is below 1.
    """

    goal: Goal
    """What success is."""
    budget: Budget
    """Largest perturbation of one image."""
    interface: Interface = field(default_factory=Gradients)
    """What the attacker sees of the model."""
    queries: int | None = None
    """Most questions about one image, for attacks that ask; None is no limit but the attack's own."""

    def __post_init__(self) -> None:
        """Check the number of queries."""
        if self.queries is not None and self.queries < 1:
            raise InputError(f"queries must be at least 1 or None, got {self.queries}")


@dataclass(frozen=True, kw_only=True, eq=False)
class Batch:
    """Images to be attacked together, and all that belongs to them."""

    images: Images
    """All eligible for the goal; never written to."""
    targets: Targets
    """True classes or findings, the true class of every place, or the true objects."""
    threat: Threat
    """Goal, budget, and what the attacker sees."""
    rng: Sequence[torch.Generator]
    """One CPU stream for each image, so that no image's result depends on its neighbours."""
    start: Images | None = None
    """Where to begin, inside the budget (an earlier result); an attack may have no use for it."""

    @property
    def begin(self) -> Images:
        """Where to begin: ``start``, or the images themselves."""
        return self.images if self.start is None else self.start

    def streams(self, rows: Rows) -> list[torch.Generator]:
        """Return the streams of some of the images."""
        return [self.rng[row] for row in rows.tolist()]

    def at(self, rows: Rows) -> "Batch":
        """Return some of the images, with all that belongs to them."""
        start = None if self.start is None else self.start[rows]
        return replace(self, images=self.images[rows], targets=self.targets[rows], rng=self.streams(rows), start=start)


class Ledger:
    """What was asked about each image of a batch, and when the goal was first reached inside the budget."""

    def __init__(self, batch: Batch) -> None:
        """Start with nothing asked about these images."""
        self.batch = batch
        self.asked = torch.zeros(len(batch.images), dtype=torch.long, device=batch.images.device)
        self.first = torch.full((len(batch.images),), torch.inf, device=batch.images.device)

    def left(self) -> Tensor:
        """Return how many questions about each image are left, as whole numbers ``[batch]``."""
        limit = self.batch.threat.queries
        return torch.full_like(self.asked, torch.iinfo(torch.long).max) if limit is None else limit - self.asked

    def enter(self, images: Images, rows: Rows, reached: Flags) -> None:
        """Count one question for each of ``rows`` (which may repeat), in their order.

        Raises:
            ContractError: More was asked than the threat allows, or about images outside [0, 1].
        """
        if len(rows) == 0:
            return
        number, limit = self._number(rows), self.batch.threat.queries
        if limit is not None and int(most := self.asked.max()) > limit:
            raise ContractError(f"at most {limit} queries for each image, got {most}")
        low, high = images.aminmax()
        if not (low >= 0 and high <= 1):
            raise ContractError(f"only images in [0, 1] can be asked about, got [{low:g}, {high:g}]")
        fell = reached.nonzero()[:, 0]
        fell = fell[within(self.batch.threat.budget, images[fell] - self.batch.images[rows[fell]])]
        self.first.scatter_reduce_(0, rows[fell], number[fell].to(self.first), "amin")

    def _number(self, rows: Rows) -> Tensor:
        """Count the questions, and return which question about its image each of them is."""
        if bool((rows.diff() > 0).all()):  # no image twice
            self.asked[rows] += 1
            return self.asked[rows]
        order = rows.argsort(stable=True)
        counts = rows.bincount(minlength=len(self.asked))
        place = torch.empty_like(rows)
        place[order] = torch.arange(len(rows), device=rows.device) - (counts.cumsum(0) - counts)[rows[order]]
        number = self.asked[rows] + place + 1
        self.asked += counts
        return number


class Counted:
    """The audited model as an attack sees it: images in, logits out, every pass counted."""

    def __init__(self, model: Subject, watch: Callable[["Counted"], None] | None = None) -> None:
        """Count the passes through ``model``, which is not touched; ``watch`` is called after each of them."""
        self.model = model
        self.watch = watch
        self.stage = ""
        """What an attack of several parts is at."""
        self.task: Task = model.task
        self.forwards = 0
        self.backwards = 0
        self.ledger: Ledger | None = None

    def open(self, batch: Batch) -> Ledger:
        """Begin a batch: questions are counted for each of its images."""
        self.ledger = Ledger(batch)
        return self.ledger

    @torch.no_grad()
    def ask(self, images: Images, rows: Rows) -> Logits:
        """Return what the interface shows of the answers, as logits without gradients.

        Args:
            images: What to ask about.
            rows: Which image of the open batch each of them is a version of; each counts as one query of that image.

        Raises:
            ContractError: No batch is open, or more was asked than the threat allows.
        """
        if self.ledger is None:
            raise ContractError("a batch must be opened before the model is asked about its images")
        batch, logits = self.ledger.batch, self._logits(images)
        reached = batch.threat.goal.margin(self.task, logits, batch.targets[rows]) > 0
        self.ledger.enter(images, rows, reached)
        return batch.threat.interface.show(self.task, logits)

    def __call__(self, images: Images) -> Logits:
        """Return the model's logits, with their gradients.

        Raises:
            InputError: The model does not give one logit for each class of its task.
            ContractError: The attacker does not hold the network, and must `ask`.
        """
        if self.ledger is not None and (seen := self.ledger.batch.threat.interface).shows != "gradients":
            raise ContractError(f"the attacker sees {seen.describe()}, and must ask")
        return self._logits(images)

    def _logits(self, images: Images) -> Logits:
        logits: Tensor = self.model(images)
        self.task.check_shape(images, logits)
        self.forwards += len(images)
        if self.watch is not None:
            self.watch(self)
        if logits.requires_grad:
            logits.register_hook(self._count)  # type: ignore[no-untyped-call]
        return logits

    def _count(self, gradient: Tensor) -> None:
        self.backwards += len(gradient)


@dataclass(frozen=True, kw_only=True)
class EvasionAttack(ABC):
    """A way to search the budget. Its fields are search settings; the threat comes from outside."""

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "gradients"
    """What it must see of the model: gradients; graded scores; or nothing but the decision."""
    norms: ClassVar[tuple[str, ...]] = tuple(ORDER)
    """Norms whose budgets it can search."""
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel")
    """Tasks whose models it can attack."""
    least_classes: ClassVar[int] = 1
    """Fewest outputs that its loss is defined for."""

    @abstractmethod
    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return attacked copies of the images, inside the budget and inside [0, 1].

        Args:
            model: In evaluation mode, with frozen parameters.
            batch: What to attack, and within which threat.
        """


def within(budget: Budget, delta: Images) -> Flags:
    """Return which perturbations lie in the budget, but for rounding."""
    return budget.size(delta) <= allowed_size(budget, delta)
