"""The live table of a run's cells on a terminal; plain lines elsewhere."""

import sys
from collections import Counter
from collections.abc import Sequence
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from aseptic.engine.cells import Cell
from aseptic.engine.runner import Outcome

STATES = ("done", "reused", "failed", "skipped")


class Progress:
    """Counts the cells of each group as they end; call it with every outcome."""

    def __init__(self, cells: Sequence[Cell]) -> None:
        """Start with no cell ended."""
        self.console = Console(file=sys.stderr)
        self.totals = Counter(cell.group for cell in cells)
        self.ended: dict[str, Counter[str]] = {name: Counter() for name in self.totals}
        self.left = {cell.key: cell.estimate or 0.0 for cell in cells}
        self.running = ""
        self.live = Live(self.table(), console=self.console, auto_refresh=False) if self.console.is_terminal else None

    def __enter__(self) -> "Progress":  # noqa: PYI034 - beartype cannot check Self
        """Show the table."""
        if self.live:
            self.live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the table as it is."""
        if self.live:
            self.live.stop()

    def __call__(self, outcome: Outcome) -> None:
        """Take note of a change of state."""
        if outcome.state == "running":
            self.running = outcome.cell.name
        else:
            self.running = ""
            self.left.pop(outcome.cell.key, None)
            self.ended[outcome.cell.group][outcome.state] += 1
        if self.live:
            self.live.update(self.table(), refresh=True)
        elif outcome.state != "running":
            seconds = f" {outcome.stored.seconds:.1f} s" if outcome.stored else f": {outcome.reason}"
            self.console.print(f"{outcome.state} {outcome.cell.name}{seconds}", highlight=False, markup=False)

    def table(self) -> Table:
        """Return the table as it stands."""
        left = sum(self.left.values())
        title = f"running {self.running}, about {left:.0f} s left" if self.running else ""
        table = Table("cells", "of", *STATES, caption=title, caption_justify="left")
        for name, total in self.totals.items():
            counts = self.ended[name]
            table.add_row(name, str(total), *(str(counts[state] or "") for state in STATES))
        return table
