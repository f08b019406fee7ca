"""Options that several commands share, and what their values mean."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aseptic.core.errors import InputError

if TYPE_CHECKING:
    import torch

    from aseptic.data.base import ReadOptions
    from aseptic.engine.runner import Planned
    from aseptic.models.subject import Subject

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
"""Mean and standard deviation that ``--mean imagenet --std imagenet`` stand for."""

ModelArg = Annotated[str, typer.Argument(help="A model folder, a weights file, or an .onnx file.", show_default=False)]
Data = Annotated[
    str,
    typer.Option("--data", help="A folder, labels.csv, .npz, COCO .json, phantom:NAME, or nih14:PATH and the like."),
]
Arch = Annotated[str | None, typer.Option(help="Architecture of a weights file, such as timm:resnet18.")]
TaskName = Annotated[str | None, typer.Option("--task", help="multiclass, multilabel, segmentation or detection.")]
Classes = Annotated[str | None, typer.Option(help="Names of the outputs in the model's order, with commas.")]
Size = Annotated[str | None, typer.Option(help="Pixels that the network is fed: 96 (all sides), or 40x56x40.")]
Channels = Annotated[int | None, typer.Option(help="Channels that the network is fed: 1 or 3.", min=1)]
Mean = Annotated[str | None, typer.Option(help="Mean of each channel in [0, 1] with commas, or imagenet.")]
Std = Annotated[str | None, typer.Option(help="Standard deviation of each channel with commas, or imagenet.")]
Outputs = Annotated[Literal["logits", "probabilities"] | None, typer.Option(help="What the network itself returns.")]
TrustCode = Annotated[bool, typer.Option("--trust-code", help="Open files that execute code; only if you trust them.")]
Split = Annotated[str | None, typer.Option(help="Part of the data: train, val or test; default: test where given.")]
Limit = Annotated[int | None, typer.Option(help="Use at most this many images, drawn by the seed.", min=1)]
Window = Annotated[str, typer.Option(help="Grey range of DICOM and NIfTI: auto, full, or CENTRE/WIDTH.")]
Slices = Annotated[int | None, typer.Option(help="Cut NIfTI volumes into images along axis 0, 1 or 2.", min=0, max=2)]
MaxBad = Annotated[int | None, typer.Option(help="Stop when more files than this cannot be read.", min=0)]
Seed = Annotated[int, typer.Option(help="Root seed of every random draw.", min=0)]
Device = Annotated[str, typer.Option(help="cpu, cuda, or cuda:N.")]
BatchSize = Annotated[int, typer.Option(help="Images in one forward pass.", min=1)]
Out = Annotated[Path, typer.Option("--out", help="Folder to write to.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and its expected time; compute nothing.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on from what an earlier run finished.")]


def space(text: str | None, least: int = 1) -> int | tuple[int, ...] | None:
    """Return the size that a network is fed: a number, or one for each space axis.

    >>> space("96"), space("40x56x40")
    (96, (40, 56, 40))
    """
    if text is None:
        return None
    try:
        found = tuple(int(part) for part in text.lower().split("x"))
    except ValueError:
        found = ()
    if len(found) not in {1, 2, 3} or min(found) < least:
        raise InputError(f"size must be a whole number of at least {least}, or 2 or 3 such as 40x56x40; got {text!r}")
    return found[0] if len(found) == 1 else found


def numbers(name: str, text: str | None, imagenet: tuple[float, ...]) -> tuple[float, ...] | None:
    """Return the values of a list option with commas."""
    if text is None:
        return None
    if text.strip() == "imagenet":
        return imagenet
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise InputError(f"{name} must be numbers with commas, or imagenet; got {text!r}") from None


def names(text: str | None) -> tuple[str, ...] | None:
    """Return the parts of a list option with commas."""
    return None if text is None else tuple(part.strip() for part in text.split(",") if part.strip())


def read_options(window: str, slices: int | None) -> "ReadOptions":
    """Return how images are read."""
    from aseptic.data.base import ReadOptions  # noqa: PLC0415 - heavy

    return ReadOptions(window=window, slices=slices)


def open_model(source: str, device: str, **facts: Any) -> "Subject":  # noqa: ANN401 - the options as given
    """Load the model under test from the options as typed."""
    from aseptic.models.load import load_model  # noqa: PLC0415 - heavy

    facts["classes"] = names(facts.get("classes"))
    facts["size"] = space(facts.get("size"))
    facts["mean"] = numbers("mean", facts.get("mean"), IMAGENET[0])
    facts["std"] = numbers("std", facts.get("std"), IMAGENET[1])
    found = open_device(device)
    return load_model(source, **facts).to(found)


def open_device(name: str) -> "torch.device":
    """Return a device of this machine."""
    import torch  # noqa: PLC0415 - heavy

    try:
        found = torch.device(name)
        torch.zeros(1, device=found)
    except (RuntimeError, AssertionError):
        raise InputError(f"device must be cpu or a CUDA device of this machine, got {name!r}") from None
    return found


def print_plan(planned: "Sequence[Planned]") -> float:
    """Print what would be computed and what is stored; return the seconds that are expected in all."""
    total = 0.0
    for line in planned:
        seconds = 0.0 if line.stored else line.cell.estimate or 0.0
        total += seconds
        typer.echo(f"{line.cell.name:<20} {'stored' if line.stored else f'about {seconds:.1f} s'}")
    return total


def command_line() -> list[str]:
    """Return what was typed, for the record, without the place of the program on this machine."""
    return ["aseptic", *sys.argv[1:]]
