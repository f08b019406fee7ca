"""``aseptic train``: train a network on labelled images and write a model folder."""

from dataclasses import replace
from typing import Annotated

import typer

from aseptic.cli import options

Training = Annotated[
    str,
    typer.Argument(
        help="Labelled data: folder, csv, .npz, phantom:NAME, or nih14:PATH and the like.", show_default=False
    ),
]
NewArch = Annotated[str, typer.Option("--arch", help="Architecture, such as timm:resnet18; see `aseptic list archs`.")]
NewSize = Annotated[str, typer.Option("--size", help="Pixels that the network is fed: 96 (all sides), or 40x56x40.")]
LEAST = 8
"""Fewest pixels along an axis."""
Epochs = Annotated[int, typer.Option(help="Most passes over the training images.", min=1)]
Lr = Annotated[float, typer.Option(help="Largest learning rate.")]
Optimizer = Annotated[str, typer.Option(help="adamw or sgd.")]
Weights = Annotated[str, typer.Option(help="none, or balanced to weigh every class the same.")]
Augment = Annotated[bool, typer.Option(help="Mirror, shift and brighten the training images at random.")]
Patience = Annotated[int, typer.Option(help="Epochs without a better validation score before it stops.", min=1)]
Precision = Annotated[str, typer.Option(help="32-true, 16-mixed or bf16-mixed.")]
Devices = Annotated[str, typer.Option(help="Number of devices, a list such as 0,1, or auto.")]
Accelerator = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]


def train(  # noqa: PLR0913 - one parameter for each option
    data: Training,
    arch: NewArch,
    out: options.Out,
    *,
    size: NewSize = "96",
    task: options.TaskName = None,
    classes: options.Classes = None,
    channels: options.Channels = None,
    mean: options.Mean = "0.5",
    std: options.Std = "0.25",
    window: options.Window = "auto",
    slices: options.Slices = None,
    max_bad: options.MaxBad = None,
    epochs: Epochs = 30,
    batch_size: options.BatchSize = 32,
    lr: Lr = 1e-3,
    optimizer: Optimizer = "adamw",
    class_weights: Weights = "none",
    augment: Augment = True,
    patience: Patience = 8,
    precision: Precision = "32-true",
    accelerator: Accelerator = "auto",
    devices: Devices = "1",
    seed: options.Seed = 0,
    resume: options.Resume = False,
) -> None:
    """Train ARCH on the train split of DATA, stop on its val split, and state what it does on its test split."""
    from aseptic.cli.watch import TrainingProgress  # noqa: PLC0415 - heavy
    from aseptic.models.train_config import TrainConfig  # noqa: PLC0415 - heavy
    from aseptic.studies.train import TrainRequest, open_parts, train_on  # noqa: PLC0415 - heavy

    parts = open_parts(
        data,
        task=task,
        classes=options.names(classes),
        options=options.read_options(window, slices),
        max_bad=max_bad,
        seed=seed,
    )
    for note in parts.notes:
        typer.echo(f"note: {note}")
    config = TrainConfig(
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        optimizer=optimizer,
        class_weights=class_weights,
        warmup=min(1.0, epochs - 1.0),
        patience=patience,
        precision=precision,
        accelerator=accelerator,
        devices=int(devices) if devices.isdigit() else devices,
        seed=seed,
    )
    if not augment:
        config = replace(config, flip=False, shift=0.0, brightness=0.0)
    request = TrainRequest(
        arch=arch,
        size=options.space(size, LEAST) or LEAST,
        channels=channels,
        mean=options.numbers("mean", mean, options.IMAGENET[0]) or (0.0,),
        std=options.numbers("std", std, options.IMAGENET[1]) or (1.0,),
    )
    progress = TrainingProgress(epochs)
    with progress:
        trained = train_on(parts, request, config, out, resume=resume, watch=progress.watch())
    for line in trained.summary():
        typer.echo(line)
    typer.echo(f"model: {out}")
