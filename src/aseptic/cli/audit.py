"""``aseptic audit``: attack, explain, measure and report on one model."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aseptic.cli import gates, options, plans, scanning
from aseptic.cli.telling import report_unreadable, tell
from aseptic.core.errors import InputError
from aseptic.core.numbers import level

if TYPE_CHECKING:
    from aseptic.core.record import Results
    from aseptic.data.imageset import ImageSet
    from aseptic.models.subject import Subject
    from aseptic.scanners.calibration import Null
    from aseptic.studies.audit.grid import Grid
    from aseptic.studies.audit.settings import AuditSettings

Eps = Annotated[str | None, typer.Option(help="Budgets of the curve with commas, such as 1/255,2/255.")]
Reference = Annotated[str, typer.Option(help="Budget that the verdict is about.")]
Battery = Annotated[str, typer.Option(help="Attacks to run: quick, standard or full.")]
Attacks = Annotated[
    str | None, typer.Option(help="Attacks of the curve with commas, weakest first; see `aseptic list attacks`.")
]
Queries = Annotated[int, typer.Option(help="Questions about one image, for attacks without gradients.", min=1)]
Goal = Annotated[
    str,
    typer.Option(
        help="untargeted, or as the task has it: reach:CLASS; suppress:FINDING, inject:FINDING; erase:STRUCTURE, "
        "relabel:STRUCTURE:TO; vanish, vanish:CLASS, relabel:CLASS:TO, fabricate:COUNT for boxes."
    ),
]
Steps = Annotated[int, typer.Option(help="Gradient steps of PGD, SegPGD and CosPGD.", min=1)]
Overlap = Annotated[
    float, typer.Option(help="Suspected trigger: overlap from which a detection is one of a box.", min=0.01, max=1)
]
Confidence = Annotated[
    float, typer.Option(help="Suspected trigger: score from which a detection counts.", min=0.001, max=1)
]
Scan = Annotated[
    bool, typer.Option("--scan", help="Also look for backdoors that nobody has named, with every scanner of models.")
]
Scanner = Annotated[
    list[str] | None,
    typer.Option("--scanner", help="The same with these scanners only, as in `aseptic scan`; may be repeated."),
]
NullFile = Annotated[
    Path | None,
    typer.Option("--null", help="null.json of an `aseptic scan` that has trained twins; scanned as they were."),
]


def audit(  # noqa: PLR0913 - one parameter for each option
    model: options.ModelArg,
    data: options.Data,
    out: options.Out,
    *,
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
    battery: Battery = "quick",
    attacks: Attacks = None,
    eps: Eps = None,
    reference: Reference = "2/255",
    goal: Goal = "untargeted",
    steps: Steps = 20,
    queries: Queries = 500,
    trigger: plans.TriggerText = None,
    plan: plans.PlanFile = None,
    target: plans.Target = None,
    source: plans.Source = None,
    rule: plans.Rule = None,
    insert: plans.Insert = None,
    overlap: Overlap = 0.5,
    confidence: Confidence = 0.5,
    scan: Scan = False,
    scanner: Scanner = None,
    null: NullFile = None,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    fail_on: gates.FailOn = None,
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
) -> None:
    """Attack, explain and measure MODEL on DATA; write RUN/report.html and RUN/results.json.

    With --trigger or --plan, also measure whether the model carries the backdoor that is suspected; with --scan,
    whether it carries one that nobody has named.
    """
    from aseptic.cli.data import open_data  # noqa: PLC0415 - heavy

    plans.check_options(trigger, plan, needed=False, target=target, source=source, rule=rule, insert=insert)
    limits = [gates.parse(text) for text in fail_on or ()]
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
    rest: dict[str, Any] = {"goal": goal, "steps": steps, "queries": queries, "seed": seed}
    rest |= {"overlap": overlap, "confidence": confidence}
    if trigger is not None or plan is not None:
        label = {"rule": rule, "target": target, "source": source}
        made = {"insert": insert or "stored", "seed": seed}
        rest["plan"] = plans.plan_of(trigger, plan, task=subject.task.name, label=label, **made)
    rest["scan"], nulls = scanning.beside(null, scanner, scan=scan, seed=seed)
    settings = _settings(subject.task.name, battery, attacks, eps, reference, batch_size=batch_size, **rest)
    images = open_data(data, subject, split=split, limit=limit, window=window, slices=slices, seed=seed)
    if dry_run:
        _plan(subject, images, settings, out, nulls=nulls, max_bad=max_bad)
        return
    reading = {"split": split, "limit": limit, "window": window, "slices": slices}
    asked: dict[str, object] = {"model": model, "data": data, **facts, **reading}
    asked |= {"device": device, **({} if null is None else {"null": str(null)})}
    results = run_audit(subject, images, out, settings, nulls=nulls, max_bad=max_bad, resume=resume, asked=asked)
    gates.leave(results, limits)


def run_audit(  # noqa: PLR0913 - what `audit` of the studies needs
    subject: "Subject",
    images: "ImageSet",
    out: Path,
    settings: "AuditSettings",
    *,
    nulls: "dict[str, Null] | None" = None,
    max_bad: int | None,
    resume: bool,
    asked: dict[str, object],
) -> "Results":
    """Run the audit with a live table of its cells, build the page, and say where it is."""
    from aseptic.cli.progress import Progress  # noqa: PLC0415 - heavy
    from aseptic.report.page import build  # noqa: PLC0415 - heavy
    from aseptic.studies.audit.run import audit, prepare  # noqa: PLC0415 - heavy
    from aseptic.studies.running import Asked  # noqa: PLC0415 - heavy

    asked_for = Asked(command=options.command_line(), config=asked)
    prepared = prepare(subject, images, settings, nulls=nulls, max_bad=max_bad)
    report_unreadable(prepared[0].data)
    _warn(prepared[1], settings)
    with Progress(prepared[1].cells()) as progress:
        results = audit(prepared, out, settings=settings, resume=resume, asked=asked_for, watch=progress)
    tell(results, build(out))
    return results


def _settings(
    task: str,
    battery: str,
    attacks: str | None,
    eps: str | None,
    reference: str,
    **rest: Any,  # noqa: ANN401 - the options as typed
) -> "AuditSettings":
    from aseptic.studies.audit.battery import battery_of  # noqa: PLC0415 - heavy
    from aseptic.studies.audit.settings import AuditSettings  # noqa: PLC0415 - heavy

    defaults: tuple[float, ...] = AuditSettings.model_fields["grey_levels"].default
    greys = defaults if eps is None else tuple(_grey(part) for part in eps.split(","))
    found = battery_of(battery, task)
    named = found.attacks if attacks is None else options.names(attacks) or ()
    asked = {
        "attacks": named,
        "probes": tuple(name for name in found.probes if name not in named),
        "grey_levels": greys,
        "reference": _grey(reference),
        **rest,
    }
    return AuditSettings.model_validate(asked)


def _grey(text: str) -> float:
    """Return a budget in levels of 255; rounded, so that 2/255 is 2.

    >>> _grey("2/255")
    2.0
    """
    found = round(level(text) * 255, 9)
    if not 0 < found <= 255:  # noqa: PLR2004 - the whole range
        raise InputError(f"eps must lie above 0 and be at most 1, got {text!r}")
    return found


def _plan(  # noqa: PLR0913 - what `prepare` of the studies needs
    subject: "Subject",
    images: "ImageSet",
    settings: "AuditSettings",
    out: Path,
    *,
    nulls: "dict[str, Null] | None",
    max_bad: int | None,
) -> None:
    from aseptic.studies.audit.run import dry_run, prepare  # noqa: PLC0415 - heavy

    made, grid = prepare(subject, images, settings, nulls=nulls, max_bad=max_bad)
    report_unreadable(made.data)
    _warn(grid, settings)
    total = options.print_plan(dry_run(grid, out))
    typer.echo(f"{len(made.data)} images, about {total / 60:.1f} minutes in all")


def _warn(grid: "Grid", settings: "AuditSettings") -> None:
    if grid.scan is not None and settings.scan is not None:
        scanning.warn(grid.scan.warnings(settings.scan))
