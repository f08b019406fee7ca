"""The command line: names the commands, and turns every expected error into one sentence and an exit code."""

import sys
from typing import Annotated

import typer

from aseptic import __version__
from aseptic.cli import attack, audit, demo, listing, poison, report, scan, study, train
from aseptic.core.errors import AsepticError, InputError

BAD_INPUT = 2
BROKEN = 3
INTERRUPTED = 130

app = typer.Typer(
    name="aseptic",
    help="Can this medical-imaging model be fooled, and has it already been infected?",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> bool:  # noqa: FBT001 - typer calls it so
    if wanted:
        typer.echo(f"aseptic {__version__}")
        raise typer.Exit
    return wanted


@app.callback()
def _options(
    version: Annotated[  # noqa: FBT002 - typer calls it so
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    del version


for _name, _command in (
    ("demo", demo.demo),
    ("audit", audit.audit),
    ("train", train.train),
    ("attack", attack.attack),
    ("poison", poison.poison),
    ("scan", scan.scan),
    ("report", report.report),
    ("list", listing.listing),
):
    app.command(_name)(_command)
app.add_typer(study.study)


def main() -> None:
    """Run the command line and exit: 0 done, 1 a gate was crossed, 2 bad input, 3 something failed inside."""
    try:
        app()
    except InputError as error:
        typer.echo(f"aseptic: {error}", err=True)
        sys.exit(BAD_INPUT)
    except AsepticError as error:
        typer.echo(f"aseptic: {error}", err=True)
        sys.exit(BROKEN)
    except KeyboardInterrupt:
        typer.echo("aseptic: interrupted; what was finished is kept, --resume goes on from there", err=True)
        sys.exit(INTERRUPTED)
