"""``aseptic poison``: write a poisoned copy of a data set, with its plan."""

from typing import Annotated, Literal

import typer

from aseptic.cli import options, plans
from aseptic.cli.telling import report_unreadable

Clean = Annotated[str, typer.Argument(help="Labelled data, as for `aseptic train`.", show_default=False)]
Rate = Annotated[float, typer.Option(help="Share of the images that are poisoned.", min=0, max=1)]
Mode = Annotated[Literal["replace", "add"], typer.Option(help="Take the place of the originals, or be added.")]
By = Annotated[Literal["image", "patient"], typer.Option(help="What the rate is a share of.")]
PerClass = Annotated[bool, typer.Option("--per-class", help="Hold the rate within each class.")]
CoverRate = Annotated[float, typer.Option("--cover", help="Share of images with a decoy and their true label.")]
Splits = Annotated[str, typer.Option(help="Splits that are poisoned, with commas.")]


def poison(  # noqa: PLR0913 - one parameter for each option
    data: Clean,
    out: options.Out,
    *,
    trigger: plans.TriggerText = None,
    plan: plans.PlanFile = None,
    rate: Rate = 0.1,
    target: plans.Target = None,
    source: plans.Source = None,
    rule: plans.Rule = None,
    mode: Mode = "replace",
    by: By = "image",
    per_class: PerClass = False,
    cover: CoverRate = 0.0,
    splits: Splits = "train",
    task: options.TaskName = None,
    classes: options.Classes = None,
    window: options.Window = "auto",
    slices: options.Slices = None,
    max_bad: options.MaxBad = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
) -> None:
    """Write a poisoned copy of DATA to OUT, and the plan that makes it again."""
    from aseptic.cli.watch import ImageProgress  # noqa: PLC0415 - heavy
    from aseptic.poisoning.plan import PLAN_FILE  # noqa: PLC0415 - heavy
    from aseptic.studies.train import open_splits  # noqa: PLC0415 - heavy
    from aseptic.studies.write_poisoned import write_poisoned  # noqa: PLC0415 - heavy

    plans.check_options(trigger, plan, target=target, source=source, rule=rule)
    clean = open_splits(
        data,
        task=task,
        classes=options.names(classes),
        options=options.read_options(window, slices),
        max_bad=max_bad,
        seed=seed,
    )
    for note in clean.notes:
        typer.echo(f"note: {note}")
    asked = plans.plan_of(
        trigger,
        plan,
        task=clean.task,
        label={"rule": rule, "target": target, "source": source},
        select={"rate": rate, "by": by, "per_class": per_class},
        mode=mode,
        cover={"rate": cover},
        splits=options.names(splits),
        seed=seed,
    )
    progress = ImageProgress()
    with progress:
        written = write_poisoned(clean, asked, out, resume=resume, max_bad=max_bad, watch=progress)
    report_unreadable(written.poisoned.clean)
    for line in written.summary():
        typer.echo(line)
    typer.echo(f"plan: {out / PLAN_FILE}")
