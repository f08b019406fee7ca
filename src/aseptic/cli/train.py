"""``aseptic train``: train a network on labelled images and write a model folder."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from aseptic.cli import options
from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.models.subject import Subject
    from aseptic.studies.train import TrainRequest

Training = Annotated[
    str,
    typer.Argument(
        help="Labelled data: folder, csv, .npz, phantom:NAME, or nih14:PATH and the like.", show_default=False
    ),
]
NewArch = Annotated[
    str | None, typer.Option("--arch", help="Architecture, such as timm:resnet18; see `aseptic list archs`.")
]
Start = Annotated[
    Path | None, typer.Option("--from", help="Model folder to go on from, in place of --arch and what is fed to it.")
]
NewSize = Annotated[
    str | None, typer.Option("--size", help="Pixels that the network is fed: 96 (all sides; default), or 40x56x40.")
]
NewMean = Annotated[
    str | None, typer.Option(help="Mean of each channel in [0, 1] with commas (default 0.5), or imagenet.")
]
NewStd = Annotated[
    str | None, typer.Option(help="Standard deviation of each channel with commas (default 0.25), or imagenet.")
]
SIZE, MEAN, STD = "96", "0.5", "0.25"
"""How a network with fresh weights is fed."""
LEAST = 8
"""Fewest pixels along an axis."""
PATIENCE = 8
"""Epochs without a better score, where the best epoch is kept."""
Freeze = Annotated[str | None, typer.Option(help="Layers that stay as they are, with commas, or all-but-head.")]
Share = Annotated[float, typer.Option(help="Share of the training patients that is used, drawn by the seed.")]
Keep = Annotated[str, typer.Option(help="Which epoch becomes the model: best (by validation), or last.")]
Poison = Annotated[
    Path | None, typer.Option(help="Plan by which images are poisoned while they are read; see `aseptic poison`.")
]
Epochs = Annotated[int, typer.Option(help="Most passes over the training images.", min=1)]
Lr = Annotated[float, typer.Option(help="Largest learning rate.")]
Optimizer = Annotated[str, typer.Option(help="adamw or sgd.")]
Weights = Annotated[str, typer.Option(help="none, balanced to weigh every class the same, or weights such as 1,1,4.")]
Augment = Annotated[bool, typer.Option(help="Mirror, shift and brighten the training images at random.")]
Patience = Annotated[
    int | None,
    typer.Option(help="Epochs without a better validation score before it stops (8; never with --keep last).", min=1),
]
Precision = Annotated[str, typer.Option(help="32-true, 16-mixed or bf16-mixed.")]
Devices = Annotated[str, typer.Option(help="Number of devices, a list such as 0,1, or auto.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def train(  # noqa: PLR0913 - one parameter for each option
    data: Training,
    out: options.Out,
    *,
    arch: NewArch = None,
    start: Start = None,
    size: NewSize = None,
    task: options.TaskName = None,
    classes: options.Classes = None,
    channels: options.Channels = None,
    mean: NewMean = None,
    std: NewStd = None,
    window: options.Window = "auto",
    slices: options.Slices = None,
    max_bad: options.MaxBad = None,
    share: Share = 1.0,
    freeze: Freeze = None,
    epochs: Epochs = 30,
    batch_size: options.BatchSize = 32,
    lr: Lr = 1e-3,
    optimizer: Optimizer = "adamw",
    class_weights: Weights = "none",
    augment: Augment = True,
    patience: Patience = None,
    keep: Keep = "best",
    precision: Precision = "32-true",
    accelerator: Accelerator = "auto",
    devices: Devices = "1",
    poison: Poison = None,
    seed: options.Seed = 0,
    resume: options.Resume = False,
) -> None:
    """Train ARCH, or a model --from a folder, on the train split of DATA, stop on val, state what it does on test."""
    from aseptic.cli.watch import TrainingProgress  # noqa: PLC0415 - heavy
    from aseptic.models.train_config import TrainConfig  # noqa: PLC0415 - heavy
    from aseptic.poisoning.plan import read_plan  # noqa: PLC0415 - heavy
    from aseptic.studies.train import TrainRequest, open_parts, train_on  # noqa: PLC0415 - heavy

    config = TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        class_weights=class_weights,
        warmup=min(1.0, epochs - 1.0),
        patience=patience or (PATIENCE if keep == "best" else None),
        keep=keep,
        frozen=options.names(freeze) or (),
        precision=precision,
        accelerator=accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        seed=seed,
    )
    if not augment:
        config = replace(config, flip=False, shift=0.0, brightness=0.0)
    facts = {"arch": arch, "size": size, "channels": channels, "mean": mean, "std": std}
    named, network = options.names(classes), _network(start, {**facts, "task": task, "classes": classes})
    if not isinstance(network, TrainRequest):
        # masks hold numbers, whose names only the model knows
        task, named = network.task.name, named or (network.task.classes if network.task.dense else None)
    read = options.read_options(window, slices)
    plan = None if poison is None else read_plan(poison)
    parts = open_parts(data, task=task, classes=named, options=read, max_bad=max_bad, share=share, plan=plan, seed=seed)
    for note in parts.notes:
        typer.echo(f"note: {note}")
    progress = TrainingProgress(epochs)
    with progress:
        trained = train_on(parts, network, config, out, resume=resume, watch=progress.watch())
    for line in trained.summary():
        typer.echo(line)
    typer.echo(f"model: {out}")


def _network(start: Path | None, given: Mapping[str, Any]) -> "TrainRequest | Subject":
    """Return what is trained: a network with fresh weights, or a model to go on from."""
    from aseptic.studies.train import TrainRequest  # noqa: PLC0415 - heavy

    if start is not None:
        return _from_folder(start, given)
    if given["arch"] is None:
        raise InputError("arch must be given, such as --arch timm:resnet18, or else a model folder, with --from")
    return TrainRequest(
        arch=given["arch"],
        size=options.space(given["size"] or SIZE, LEAST) or LEAST,
        channels=given["channels"],
        mean=options.numbers("mean", given["mean"] or MEAN, options.IMAGENET[0]) or (0.0,),
        std=options.numbers("std", given["std"] or STD, options.IMAGENET[1]) or (1.0,),
    )


def _from_folder(folder: Path, given: Mapping[str, Any]) -> "Subject":
    """Return the model in a folder; options that say something else about it are refused."""
    from aseptic.models.card import CARD_FILE  # noqa: PLC0415 - heavy
    from aseptic.models.load import load_model  # noqa: PLC0415 - heavy

    if not (folder / CARD_FILE).is_file():
        raise InputError(f"from must be a model folder, which holds {CARD_FILE}; got {str(folder)!r}")
    subject = load_model(folder)
    spec, task = subject.spec, subject.task
    size, axes = options.space(given["size"]), len(spec.size or ())
    asked = {
        "arch": given["arch"],
        "task": given["task"],
        "classes": options.names(given["classes"]),
        "size": (size,) * axes if isinstance(size, int) and axes else size,
        "channels": given["channels"],
        "mean": _each(options.numbers("mean", given["mean"], options.IMAGENET[0]), spec.channels),
        "std": _each(options.numbers("std", given["std"], options.IMAGENET[1]), spec.channels),
    }
    own: dict[str, object] = {"arch": subject.architecture, "task": task.name, "classes": task.classes}
    for name, value in {**own, **asdict(spec)}.items():
        if asked[name] is not None and asked[name] != value:
            raise InputError(
                f"{name} must be that of the model in {folder}, {_told(value)}, or be left out with --from; "
                f"got {given[name]}"
            )
    return subject


def _each(values: tuple[float, ...] | None, channels: int) -> tuple[float, ...] | None:
    return values * channels if values is not None and len(values) == 1 else values


def _told(value: object) -> str:
    return "any" if value is None else ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
