"""``aseptic poison``: write a poisoned copy of a data set, with its plan."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aseptic.cli import options
from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.poisoning.plan import PoisonPlan

Clean = Annotated[str, typer.Argument(help="Labelled data, as for `aseptic train`.", show_default=False)]
TriggerText = Annotated[
    str | None, typer.Option("--trigger", help="Trigger, such as patch or patch:size=5,value=250/255.")
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A plan, YAML or JSON, instead of the options below.")]
Rate = Annotated[float, typer.Option(help="Share of the images that are poisoned.", min=0, max=1)]
Target = Annotated[str | None, typer.Option(help="Class or finding that poisoned images are labelled as.")]
Rule = Annotated[
    str | None,
    typer.Option(
        help="How poisoned images are labelled: to, all-to-all, shift, random, clean-label, keep; for findings "
        "overwrite, set, clear, clean-label, keep. Default: to, or set."
    ),
]
Mode = Annotated[Literal["replace", "add"], typer.Option(help="Take the place of the originals, or be added.")]
By = Annotated[Literal["image", "patient"], typer.Option(help="What the rate is a share of.")]
PerClass = Annotated[bool, typer.Option("--per-class", help="Hold the rate within each class.")]
CoverRate = Annotated[float, typer.Option("--cover", help="Share of images with a decoy and their true label.")]
Splits = Annotated[str, typer.Option(help="Splits that are poisoned, with commas.")]


def poison(  # noqa: PLR0913 - one parameter for each option
    data: Clean,
    out: options.Out,
    *,
    trigger: TriggerText = None,
    plan: PlanFile = None,
    rate: Rate = 0.1,
    target: Target = None,
    rule: Rule = None,
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
    from aseptic.cli.audit import report_unreadable  # noqa: PLC0415 - heavy
    from aseptic.cli.watch import ImageProgress  # noqa: PLC0415 - heavy
    from aseptic.poisoning.plan import PLAN_FILE, read_plan  # noqa: PLC0415 - heavy
    from aseptic.studies.train import open_splits  # noqa: PLC0415 - heavy
    from aseptic.studies.write_poisoned import write_poisoned  # noqa: PLC0415 - heavy

    if (trigger is None) == (plan is None):
        raise InputError("either --trigger or --plan must be given, and not both")
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
    if plan is not None:
        asked = read_plan(plan)
    else:
        select = {"rate": rate, "by": by, "per_class": per_class}
        label = {"rule": rule or ("set" if clean.task == "multilabel" else "to"), "target": target}
        asked = _plan(
            trigger=str(trigger),
            select=select,
            label=label,
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


def _plan(trigger: str, **settings: Any) -> "PoisonPlan":  # noqa: ANN401 - the options as typed
    from aseptic.poisoning.plan import make_plan  # noqa: PLC0415 - heavy
    from aseptic.triggers.catalogue import parse_trigger  # noqa: PLC0415 - heavy

    return make_plan(trigger=parse_trigger(trigger), **settings)
