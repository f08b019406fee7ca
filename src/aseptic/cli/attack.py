"""``aseptic attack``: write attacked images back in the format they came in."""

from pathlib import Path
from typing import Annotated

import typer

from aseptic.cli import options
from aseptic.cli.audit import Goal
from aseptic.cli.telling import report_unreadable
from aseptic.core.numbers import level

Attack = Annotated[str, typer.Option("--attack", help="Attack by name; see `aseptic list attacks`.")]
Eps = Annotated[str, typer.Option(help="Budget in [0, 1] units, such as 2/255.")]
Norm = Annotated[
    str,
    typer.Option(help="Norm of the budget: linf, l2, l1, or window (--eps is its share of the image)."),
]
Interface = Annotated[
    str,
    typer.Option(help="What the attacker sees: gradients, scores, scores:DECIMALS, label, flag:NAME[:THRESHOLD]."),
]
Queries = Annotated[int | None, typer.Option(help="Most questions about one image, for attacks that ask.", min=1)]
Steps = Annotated[int | None, typer.Option(help="Gradient steps, for attacks that take steps.", min=1)]


def attack(  # noqa: PLR0913 - one parameter for each option
    model: options.ModelArg,
    data: options.Data,
    out: options.Out,
    *,
    attack: Attack = "pgd",
    eps: Eps = "2/255",
    norm: Norm = "linf",
    goal: Goal = "untargeted",
    interface: Interface = "gradients",
    queries: Queries = None,
    steps: Steps = None,
    arch: options.Arch = None,
    task: options.TaskName = None,
    classes: options.Classes = None,
    size: options.Size = None,
    channels: options.Channels = None,
    mean: options.Mean = None,
    std: options.Std = None,
    outputs: options.Outputs = None,
    trust_code: options.TrustCode = False,
    split: options.Split = None,
    limit: options.Limit = None,
    window: options.Window = "auto",
    slices: options.Slices = None,
    max_bad: options.MaxBad = None,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    resume: options.Resume = False,
) -> None:
    """Attack every image of DATA at its own size, write it to OUT, read it back and measure what is left."""
    from aseptic.cli.data import open_data  # noqa: PLC0415 - heavy
    from aseptic.cli.watch import AttackProgress  # noqa: PLC0415 - heavy
    from aseptic.studies.write_attacked import Request, write_attacked  # noqa: PLC0415 - heavy

    facts = {
        "arch": arch,
        "task": task,
        "classes": classes,
        "size": size,
        "channels": channels,
        "mean": mean,
        "std": std,
        "outputs": outputs,
    }
    subject = options.open_model(model, device, **facts, trust_code=trust_code)
    images = open_data(data, subject, split=split, limit=limit, window=window, slices=slices, seed=seed)
    request = Request(
        attack=attack,
        options={} if steps is None else {"steps": steps},
        eps=level(eps),
        norm=norm,
        goal=goal,
        interface=interface,
        queries=queries,
        batch_size=batch_size,
        seed=seed,
    )
    progress = AttackProgress()
    with progress:
        written = write_attacked(subject, images, request, Path(out), resume=resume, max_bad=max_bad, watch=progress)
    report_unreadable(written.data)
    for line in written.summary():
        typer.echo(line)
    typer.echo(f"manifest: {written.manifest}")
