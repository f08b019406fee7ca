"""Questions about many images at once: what is left of each image's budget, and what the answers say of the goal."""

import torch
from torch import Tensor

from aseptic.attacks.base import Batch, Counted
from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Flags, Images, PerImage, Rows


class Questions:
    """The open batch as a searcher without gradients sees it."""

    def __init__(self, model: Counted, batch: Batch, queries: int) -> None:
        """Allow ``queries`` more questions about each image, or what the threat leaves of them.

        Raises:
            ContractError: No batch is open.
        """
        if model.ledger is None:
            raise ContractError("a batch must be opened before the model is asked about its images")
        self.model, self.targets, self.threat, self.ledger = model, batch.targets, batch.threat, model.ledger
        self.most = self.ledger.left().clamp(max=queries) + self.ledger.asked
        self.limit = queries if self.threat.queries is None else min(queries, self.threat.queries)
        """Questions about one image, when none has been asked before."""

    def left(self, rows: Rows) -> Tensor:
        """Return how many questions about these images are left."""
        return (self.most - self.ledger.asked)[rows]

    def look(self, images: Images) -> PerImage:
        """Return the margin of one question about each image of the batch; -inf where nothing may be asked."""
        rows = (self.most > self.ledger.asked).nonzero()[:, 0]
        seen = torch.full_like(images.flatten(1)[:, 0], -torch.inf)
        seen[rows] = self.margin(images[rows], rows)
        return seen

    def margin(self, images: Images, rows: Rows) -> PerImage:
        """Return the goal's margin as far as the interface shows it, asking no more at a time than the batch has."""
        if len(rows) == 0:
            return images.new_zeros(0)
        at_once = len(self.ledger.asked)
        seen = [
            self.threat.goal.margin(self.model.task, self.model.ask(some, these), self.targets[these])
            for some, these in zip(torch.split(images, at_once), torch.split(rows, at_once), strict=True)
        ]
        return torch.cat(seen)

    def reached(self, images: Images, rows: Rows) -> Flags:
        """Return where the goal is seen to be reached."""
        return self.margin(images, rows) > 0


def check_queries(queries: int) -> None:
    """Raise `InputError` unless an attack's own limit is a number of questions."""
    if queries < 1:
        raise InputError(f"queries must be a whole number of at least 1, got {queries!r}")
