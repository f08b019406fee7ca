"""DPatch (Liu et al., 2018): a patch in the corner that draws a detector's attention to itself."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from aseptic.attacks.base import Batch, Counted, EvasionAttack
from aseptic.attacks.filling import Filling
from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Number, PerImage, Targets
from aseptic.ops.windows import Window, window_index
from aseptic.tasks.base import Task
from aseptic.tasks.detection_goals import Vanish


@dataclass(frozen=True, kw_only=True)
class DPatch(EvasionAttack):
    r"""Repeat :math:`x'_W \leftarrow \Pi_{[0, 1]}(x'_W + a\, \mathrm{sign}(\nabla J(x')_W))` in the top left corner.

    Where objects are to vanish, :math:`J` is minus the detection loss of a single object, the patch itself, of a class
    of the attacker's choice; otherwise it is the goal's own objective (for `Disrupt`, the loss of the true objects:
    the paper's untargeted attack).

    Paper: https://arxiv.org/abs/1806.02299, section 3 (algorithm 1 and equations 2 and 3).
    Departs from it: a patch for each image (`aseptic.attacks.sticker.train_sticker` with ``place="corner"`` learns
    one for all); steps of the sign; the loss is that of the candidates' decoded boxes, which every detector has.
    Blind to: other places, sizes and angles of the patch; masked gradients.
    """

    norms: ClassVar[tuple[str, ...]] = ("window",)
    tasks: ClassVar[tuple[str, ...]] = ("detection",)

    steps: int = 100
    """Number of gradient evaluations."""
    step: Number = 0.05
    """Length ``a`` of one step, in image units."""
    label: int = 0
    """Number of the class that the patch is to be taken for, where objects are to vanish."""

    def __post_init__(self) -> None:
        """Check the search settings."""
        if self.steps < 1:
            raise InputError(f"steps must be a whole number of at least 1, got {self.steps!r}")
        if not 0 < self.step <= 1:
            raise InputError(f"step must lie in (0, 1], in image units, got {self.step!r}")
        if self.label < 0:
            raise InputError(f"label must be a class number of at least 0, got {self.label!r}")

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return, for each image, the first iterate that reaches the goal, or the highest one.

        Raises:
            InputError: The window holds no value, or there is no such class.
        """
        space, goal = batch.images.shape[2:], batch.threat.goal
        sides = Window(batch.threat.budget.radius).sides(space)
        if 0 in sides:
            raise InputError(f"the window must hold a value, {batch.threat.budget.radius:g} of {[*space]} does not")
        if self.label >= len(model.task.classes):
            raise InputError(f"label must lie in 0..{len(model.task.classes) - 1}, got {self.label}")
        rows, columns = sides
        patch = [float(self.label), 0.0, 0.0, float(columns), float(rows)]

        def attention(task: Task, logits: Logits, targets: Targets) -> PerImage:
            alone = targets.new_tensor(patch).expand(len(targets), 1, -1)
            return -task.loss(task.shift(logits), alone)

        corner = torch.zeros((len(batch.images), 2), dtype=torch.long, device=batch.images.device)
        climbed = attention if isinstance(goal, Vanish) else goal.objective
        filling = Filling(steps=self.steps, step=self.step, climbed=climbed)
        return filling.run(model, batch, window_index(space, sides, corner))[0]
