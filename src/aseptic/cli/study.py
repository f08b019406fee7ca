"""``aseptic study``: the experiments of published papers, run again."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aseptic.cli import options
from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.studies.frame.prepare import Prepared
    from aseptic.studies.frame.study import Study

SOMETHING_FAILED = 3

study = typer.Typer(
    name="study", help="Run the experiments of published papers again.", no_args_is_help=True, rich_markup_mode=None
)

Name = Annotated[str, typer.Argument(help="A study; see `aseptic study list`.", show_default=False)]
ScaleName = Annotated[
    Literal["smoke", "desk", "paper"],
    typer.Option("--scale", help="smoke: phantoms, minutes. desk: real images. paper: the published data, a GPU."),
]
Given = Annotated[
    list[str] | None,
    typer.Option("--data", metavar="NAME=PATH", help="A data set that the scale needs; once for each."),
]


@study.command("list")
def listing() -> None:
    """Print every study with its scales and its paper."""
    from aseptic.studies.catalogue import STUDIES  # noqa: PLC0415 - heavy

    found = [STUDIES.load(name) for name in STUDIES.names()]
    width = max((len(one.name) for one in found), default=0)
    for one in found:
        typer.echo(f"{one.name:<{width}}  {', '.join(one.scales)}  {one.paper}  {one.title}")


@study.command("show")
def show(name: Name) -> None:
    """Print what the paper of a study claims, its traps, and what each scale needs."""
    from aseptic.studies.catalogue import STUDIES  # noqa: PLC0415 - heavy

    typer.echo("\n".join(_described(STUDIES.load(name))))


@study.command("run")
def run(  # noqa: PLR0913 - one parameter for each option
    name: Name,
    out: options.Out,
    *,
    scale: ScaleName = "smoke",
    data: Given = None,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
) -> None:
    """Run the study NAME at one scale; write RUN/report.html, RUN/study.md and RUN/results.json."""
    from aseptic.studies.catalogue import STUDIES  # noqa: PLC0415 - heavy
    from aseptic.studies.frame.prepare import prepare_study  # noqa: PLC0415 - heavy

    sources, found = named(data or ()), STUDIES.load(name)
    options.open_device(device)
    prepared = prepare_study(found, scale=scale, sources=sources, seed=seed)
    if dry_run:
        _plan(prepared, out)
    else:
        _run(prepared, out, device=device, resume=resume)


def named(given: Sequence[str]) -> dict[str, str]:
    """Return the data sets by name.

    >>> named(["nih14=/data/nih", "masks=m=1.csv"])
    {'nih14': '/data/nih', 'masks': 'm=1.csv'}
    """
    found: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise InputError(f"data must be NAME=PATH, got {text!r}")
        if name in found:
            raise InputError(f"data {name} must be given once, got {found[name]!r} and {path!r}")
        found[name] = path
    return found


def _described(one: "Study[Any]") -> Iterator[str]:
    yield from (f"{one.name}: {one.title}", one.paper, "", "Claims:")
    for claim in one.claims:
        number = "" if claim.published is None else f", published {claim.published:g}"
        yield f'  {claim.id}: "{claim.words}" ({claim.where}{number})'
        yield f"    {', '.join(claim.findings)} must be {claim.criterion.describe()}"
    if one.traps:
        yield from ("", "Traps:", *(f"  {trap.number}: {trap.words}" for trap in one.traps))
    for scale, at in one.scales.items():
        yield from ("", f"Scale {scale}: {at.takes}.")
        yield from (f"  --data {name}=PATH: {what}" for name, what in at.needs.items())
        yield from (f"  departs: {line}" for line in at.departures)
        for claim in one.claims:
            if reason := claim.untestable.get(scale):
                yield f"  claim {claim.id} is not testable: {reason}"


def _plan(prepared: "Prepared[Any]", out: Path) -> None:
    from aseptic.studies.frame.run import plan_study  # noqa: PLC0415 - heavy

    total = options.print_plan(plan_study(prepared, out))
    typer.echo(f"{len(prepared.cells)} cells, about {total / 60:.1f} minutes in all")


def _run(prepared: "Prepared[Any]", out: Path, *, device: str, resume: bool) -> None:
    from aseptic.cli.progress import Progress  # noqa: PLC0415 - heavy
    from aseptic.studies.frame.run import run_study  # noqa: PLC0415 - heavy
    from aseptic.studies.running import Asked  # noqa: PLC0415 - heavy

    with Progress(prepared.cells) as progress:
        asked = Asked(command=options.command_line())
        results = run_study(prepared, out, resume=resume, device=device, asked=asked, watch=progress)
    for one in results.findings:
        if one.id.startswith("claim."):
            typer.echo(f'{one.args["verdict"]}: "{one.title}": {one.args["reason"]}')
    for failure in results.failed:
        typer.echo(f"failed: {failure.title}: {failure.reason}")
    typer.echo(f"report: {out / 'report.html'}")
    if results.failed:
        raise typer.Exit(SOMETHING_FAILED)
