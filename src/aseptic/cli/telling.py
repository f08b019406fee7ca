"""What a run found, and which files it kept out, on the terminal."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from aseptic.core.record import Results
    from aseptic.data.imageset import ImageSet


def tell(results: "Results", page: Path) -> None:
    """Say what was found, what failed, and where the page is."""
    found = next((one for one in results.findings if one.id == "verdict"), None)
    typer.echo(
        "\n".join([found.title, *found.args["text"]]) if found else "No verdict: the cells that it needs failed."
    )
    for failure in results.failed:
        typer.echo(f"failed: {failure.title}: {failure.reason}")
    typer.echo(f"report: {page}")


def report_unreadable(images: "ImageSet") -> None:
    """Name the files that were kept out, on the terminal only."""
    for one in images.unreadable:
        typer.echo(f"kept out: {one.file}: {one.reason}", err=True)
