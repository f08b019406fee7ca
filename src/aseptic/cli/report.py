"""``aseptic report``: rebuild the page from what a run stored."""

from pathlib import Path
from typing import Annotated

import typer


def report(run: Annotated[Path, typer.Argument(help="A run folder with results.json.", show_default=False)]) -> None:
    """Rebuild RUN/report.html from the stored rows and findings."""
    from aseptic.report.page import build  # noqa: PLC0415 - heavy

    typer.echo(build(run))
