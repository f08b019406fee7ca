"""What Auto-PGD remembers of each image while it searches, in as few copies of the images as it can."""

from dataclasses import dataclass, fields

from torch import Tensor

from aseptic.core.types import Flags, Images
from aseptic.ops.images import take


@dataclass(kw_only=True)
class State:
    """Where the search of each living image is; every field has one entry for each of them."""

    rows: Tensor
    """Positions in the batch."""
    images: Tensor
    here: Tensor
    before: Tensor
    gradient: Tensor
    value: Tensor
    best: Tensor
    best_gradient: Tensor
    best_value: Tensor
    best_margin: Tensor
    kept_value: Tensor
    """Highest value among the iterates that reached the goal; -inf where none has."""
    kept_margin: Tensor
    """Margin of that iterate, which is in the result already."""
    step: Tensor
    """Length of the step, in image units."""
    rises: Tensor
    """Steps since the last checkpoint at which the value rose."""
    last_best: Tensor
    """Best value at the last checkpoint."""
    halved: Tensor
    """Whether the step was halved there."""
    support: Tensor
    """l1: values changed at the best point, at the last checkpoint."""
    density: Tensor
    """l1: share of values that the next step moves."""

    def only(self, flags: Flags) -> "State":
        """Return the state of those images alone."""
        return State(**{field.name: getattr(self, field.name)[flags] for field in fields(self)})


class Kept:
    """The iterates that reached the goal, for all images of a search; they take memory only when there is one."""

    def __init__(self, state: State) -> None:
        """Begin with none."""
        self.shape = state.here.shape
        self.found = state.here.new_empty(0)

    def enter(self, chosen: Flags, state: State) -> None:
        """Keep the points where some of the images are."""
        if chosen.device.type == "cpu" and not bool(chosen.any()):
            return
        take(self.room(), chosen, state.here, state.rows)

    def room(self) -> Images:
        """Return the iterates that were kept, in memory that holds one for every image."""
        if len(self.found) == 0:
            self.found = self.found.new_empty(self.shape)
        return self.found

    def fill(self, state: State) -> Images:
        """Return what was kept, and for images of which nothing was, their best point."""
        if len(state.rows) == self.shape[0] and len(self.found) == 0:
            return state.best
        take(self.room(), state.kept_value.isneginf(), state.best, state.rows)
        return self.found
