"""How far a training run or an attack is: a bar on a terminal, lines elsewhere."""

import sys
import time
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, TextColumn, TimeRemainingColumn

if TYPE_CHECKING:
    from aseptic.attacks.running import Progress as Attacked
    from aseptic.models.trainer_state import Epoch
    from aseptic.models.training_loop import Watch

EVERY = 10.0
"""Seconds between two lines about an attack, where there is no terminal."""


class Shown:
    """A bar that is there as long as something goes on."""

    def __init__(self, *columns: ProgressColumn) -> None:
        """Make a bar with these columns; it shows on a terminal only."""
        self.console = Console(file=sys.stderr)
        self.bar = Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal)

    def __enter__(self) -> "Shown":  # noqa: PYI034 - beartype cannot check Self
        """Show the bar."""
        self.bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Take the bar away."""
        self.bar.stop()


class AttackProgress(Shown):
    """Shows how many images are done, what the attack is at, and its passes; call it as often as there is news."""

    def __init__(self) -> None:
        """Begin before the first image."""
        super().__init__(BarColumn(), MofNCompleteColumn(), TextColumn("{task.description}"))
        self.images = self.bar.add_task("images", total=None)
        self.began = self.said = time.monotonic()

    def __call__(self, found: "Attacked") -> None:
        """Move the bar, or say something from time to time."""
        passes = f"{found.forwards} passes"
        text = ", ".join(part for part in (found.stage, passes) if part)
        self.bar.update(self.images, completed=found.done, total=found.of, description=text)
        now = time.monotonic()
        if self.bar.disable and now - self.said >= EVERY:
            self.said = now
            line = f"{found.done} of {found.of} images, {text}, {now - self.began:.0f} s"
            self.console.print(line, highlight=False, markup=False, soft_wrap=True)


class ImageProgress(Shown):
    """Shows how many images are written; call it with the images done and their number."""

    def __init__(self) -> None:
        """Begin before the first image."""
        super().__init__(BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.images = self.bar.add_task("images", total=None)

    def __call__(self, done: int, total: int) -> None:
        """Move the bar."""
        self.bar.update(self.images, completed=done, total=total)


class TrainingProgress(Shown):
    """Shows the steps of the current epoch on a terminal, and prints what each epoch came to."""

    def __init__(self, epochs: int) -> None:
        """Begin before the first epoch."""
        self.epochs = epochs
        super().__init__(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        self.steps = self.bar.add_task("epoch 1")

    def watch(self) -> "Watch":
        """Return what training calls."""
        from aseptic.models.training_loop import Watch  # noqa: PLC0415 - heavy

        return Watch(epoch=self.epoch, step=self.step)

    def step(self, done: int, total: int) -> None:
        """Move the bar."""
        self.bar.update(self.steps, completed=done, total=total)

    def epoch(self, found: "Epoch") -> None:
        """Print what an epoch came to."""
        self.console.print(
            f"epoch {found.epoch}/{self.epochs}: loss {found.train_loss:.4f}, validation loss {found.val_loss:.4f}, "
            f"validation {found.score} {found.val_score:.4f}, {found.seconds:.1f} s",
            highlight=False,
        )
        self.bar.update(self.steps, description=f"epoch {found.epoch + 1}", completed=0)
