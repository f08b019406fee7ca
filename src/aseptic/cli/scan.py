"""``aseptic scan``: does a model, or a training set, carry a backdoor that nobody has named?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from aseptic.cli import gates, options, plans, scanning, set_scanning

What = Annotated[str, typer.Argument(metavar="TARGET", help="A model, or a labelled training set.", show_default=False)]
Images = Annotated[
    str | None, typer.Option("--data", help="Clean images for a scan of a model; labelled, where twins are trained.")
]
Network = Annotated[
    str | None, typer.Option("--model", help="The model that was trained on the set, for a scan of a training set.")
]
Scanner = Annotated[
    list[str] | None,
    typer.Option(
        "--scanner",
        help="Scanners with commas, or one with settings, such as mm-bd:starts=16,steps=200; may be repeated. "
        "Default: all that can serve; see `aseptic list scanners`.",
    ),
]
Twins = Annotated[int | None, typer.Option(help="Clean twins of the model to train.", min=1)]
Infected = Annotated[
    int | None, typer.Option(help="Infected twins to train, where --trigger or --plan says how (10).", min=1)
]
NullFile = Annotated[Path | None, typer.Option("--null", help="null.json of a scan that has trained twins.")]
Training = Annotated[
    Path | None,
    typer.Option(help="YAML of the settings that twins are trained with, where the model's own card has none."),
]
PoisonRate = Annotated[float | None, typer.Option(help="Share of images that --trigger poisons (0.1).", min=0, max=1)]
Rate = Annotated[float, typer.Option(help="Share of clean models, or sets, that may be called infected.")]
Power = Annotated[
    float | None, typer.Option(help="Share of infected twins that must be found before a model can be clean (0.8).")
]
Draws = Annotated[
    int | None, typer.Option(help="Permutations of the labels that a training set is compared with (99).", min=1)
]
Clean = Annotated[
    list[str] | None,
    typer.Option(help="A set of the same kind that is known to be clean, for a training set; may be repeated."),
]
Parts = Annotated[
    int | None, typer.Option(help="Parts of the clean sets that a training set is compared with (99).", min=1)
]
ImageLimit = Annotated[
    int | None, typer.Option("--limit", help="Use at most this many images, drawn by the seed (a model: 64).", min=1)
]


def scan(  # noqa: PLR0913 - one parameter for each option
    what: What,
    out: options.Out,
    *,
    data: Images = None,
    model: Network = None,
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
    limit: ImageLimit = None,
    window: options.Window = "auto",
    slices: options.Slices = None,
    max_bad: options.MaxBad = None,
    scanner: Scanner = None,
    rate: Rate = 0.05,
    null: NullFile = None,
    twins: Twins = None,
    training: Training = None,
    infected: Infected = None,
    trigger: plans.TriggerText = None,
    plan: plans.PlanFile = None,
    target: plans.Target = None,
    rule: plans.Rule = None,
    insert: plans.Insert = None,
    poison_rate: PoisonRate = None,
    power: Power = None,
    draws: Draws = None,
    clean: Clean = None,
    parts: Parts = None,
    batch_size: options.BatchSize = 32,
    seed: options.Seed = 0,
    device: options.Device = "cpu",
    fail_on: gates.FailOn = None,
    dry_run: options.DryRun = False,
    resume: options.Resume = False,
) -> None:
    """Look for a backdoor in a model (with --data) or in a training set (with --model); write RUN/report.html.

    A model is compared with twins: clean and infected networks of its kind, trained here (--twins) or before (--null).
    A training set is compared with others of its kind that are known to be clean (--clean).
    """
    limits = [gates.parse(text) for text in fail_on or ()]
    facts = {"arch": arch, "task": task, "classes": classes, "size": size, "channels": channels}
    facts |= {"mean": mean, "std": std, "outputs": outputs}
    reading = {"split": split, "limit": limit, "window": window, "slices": slices}
    common = {"rate": rate, "seed": seed}
    twin_options = {"null": null, "twins": twins, "training": training, "infected": infected, "power": power}
    poison: dict[str, Any] = {"trigger": trigger, "plan": plan, "target": target, "rule": rule, "insert": insert}
    poison["poison_rate"] = poison_rate
    job: scanning.Job
    if scanning.is_model(what, data=data, model=model):
        scanning.refuse({"draws": draws, "clean": clean, "parts": parts}, needs="a training set to scan", got="a model")
        subject = options.open_model(what, device, **facts, trust_code=trust_code)
        more: dict[str, Any] = {"common": common, "twins": twin_options, "poison": poison}
        job = scanning.of_model(subject, what, data, scanner=scanner, **more, reading=reading, max_bad=max_bad)
    else:
        needless = {name: twin_options.pop(name) for name in ("null", "twins", "training")}
        scanning.refuse(needless, needs="a model to scan", got="a training set")
        if not clean:
            scanning.refuse({"parts": parts, **twin_options, **poison}, needs="clean sets (--clean)", got="none")
        given = None if model is None else options.open_model(model, device, **facts, trust_code=trust_code)
        settings = {**common, "batch_size": batch_size, "draws": draws, "parts": parts, "power": power}
        more = {"settings": settings, "facts": facts, "clean": clean or (), "poison": poison, "infected": infected}
        job = set_scanning.of_set(what, given, scanner=scanner, **more, reading=reading, max_bad=max_bad)
    if dry_run:
        scanning.show_plan(job, out)
        return
    asked: dict[str, object] = {"target": what, "data": data, "model": model, **facts, **reading, "device": device}
    asked |= {name: str(value) for name, value in twin_options.items() if isinstance(value, Path)}
    asked |= {"clean": clean} if clean else {}
    gates.leave(scanning.run(job, out, resume=resume, asked=asked), limits)
