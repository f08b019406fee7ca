"""The weight of a trigger's size against its success, for each output by itself."""

from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.core.types import Flags, Number, Rows

COUNTS = ("weight", "calm", "above", "below", "rose", "fell", "found", "stale")


@dataclass(frozen=True, kw_only=True)
class Rules:
    """How the weight follows the success."""

    first: Number
    """Weight once the success has held for the first time; it is 0 until then."""
    factor: Number
    """What the weight is multiplied by where the success holds; it is divided by ``factor ** 1.5`` where it fails."""
    patience: int
    """Rounds in a row after which the weight changes."""
    still: int
    """Rounds without a better trigger after which a search ends, once its weight has been raised and lowered."""


class Schedule:
    """The weights of several searches, none of which sees the others.

    Paper: Wang et al. (2019), doi:10.1109/SP.2019.00031, section IV; the rules are those of its released code, with a
    state of its own for each output.
    """

    def __init__(self, rules: Rules, count: int, device: torch.device) -> None:
        """Begin ``count`` searches, all weights at 0."""
        self.rules = rules
        zeros = torch.zeros(count, device=device)
        self.weight, self.calm, self.above, self.below, self.stale = (zeros.clone() for _ in range(5))
        self.rose, self.fell, self.found = (zeros.bool() for _ in range(3))

    def note(self, reached: Flags, better: Flags) -> Flags:
        """Take in what a round came to, change the weights, and return which searches have ended.

        Args:
            reached: Whether the success held in this round.
            better: Whether the trigger at its end is the best so far.
        """
        rules = self.rules
        self.found = self.found | better
        self.stale = torch.where(self.found & ~better, self.stale + 1, 0)
        ended = self.rose & self.fell & (self.stale >= rules.still)
        self.calm = torch.where((self.weight == 0) & reached, self.calm + 1, 0)
        begin = self.calm >= rules.patience
        self.weight = torch.where(begin, float(rules.first), self.weight)
        self.rose, self.fell = self.rose & ~begin, self.fell & ~begin
        self.above = torch.where(reached, self.above.masked_fill(begin, 0) + 1, 0)
        self.below = torch.where(reached, 0, self.below.masked_fill(begin, 0) + 1)
        up, down = self.above >= rules.patience, self.below >= rules.patience
        self.weight = torch.where(up, self.weight * rules.factor, self.weight)
        self.weight = torch.where(down, self.weight / rules.factor**1.5, self.weight)
        self.above, self.below = self.above.masked_fill(up, 0), self.below.masked_fill(down, 0)
        self.rose, self.fell = self.rose | up, self.fell | down
        return ended

    def keep(self, rows: Rows) -> None:
        """Forget all searches but these."""
        for name in COUNTS:
            held: Tensor = getattr(self, name)
            setattr(self, name, held[rows])
