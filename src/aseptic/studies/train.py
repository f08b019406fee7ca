"""Training on a data set: its splits, a network that fits it, and an honest number at the end."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from aseptic.core.errors import InputError
from aseptic.core.estimate import Estimate
from aseptic.core.rng import numpy_stream
from aseptic.data.base import ReadOptions
from aseptic.data.imageset import ImageSet
from aseptic.data.load import load_data
from aseptic.data.splits import make_splits
from aseptic.metrics.bootstrap import resample
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, TrainResult, new_subject, train
from aseptic.models.training_loop import Watch
from aseptic.studies.predict import predict
from aseptic.studies.yardsticks.catalogue import YARDSTICKS, yardstick_of

VAL_SHARE = 0.1
"""Share of the training images that becomes the validation split where there is none."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """A data set by its splits; every image readable."""

    training: ImageSet
    validation: ImageSet
    test: ImageSet | None
    """None where the data set has no such split."""
    notes: tuple[str, ...]
    """How the splits came about."""


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """Which network, fed how."""

    arch: str
    """Architecture by name."""
    size: int | tuple[int, ...]
    """Pixels along each space axis that it is fed; one number means the same along all axes that the images have."""
    channels: int | None
    """Channels it is fed; None takes those of the images."""
    mean: tuple[float, ...]
    """Subtracted from each channel."""
    std: tuple[float, ...]
    """Divided out of each channel."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What training came to."""

    result: TrainResult
    """Epochs and the best one."""
    test: dict[str, Estimate] | None
    """Every metric on the test split, where there is one."""
    shown: tuple[str, ...]
    """Metrics that stand in the summary."""
    kept_out: Mapping[str, str]
    """Files that could not be used, and why; where masks are the targets, also images without one."""

    def summary(self) -> list[str]:
        """Return the outcome in lines for a terminal."""
        best = self.result.best
        lines = [f"best epoch {best.epoch} of {len(self.result.epochs)}, validation {best.score} {best.val_score:.4f}"]
        if self.kept_out:
            file, reason = next(iter(self.kept_out.items()))
            lines.append(f"{len(self.kept_out)} images were kept out, such as {file}: {reason}")
        for name in self.shown if self.test else ():
            found = self.test[name] if self.test else None
            if found is not None and found.known:
                span = f" (95 % interval {found.low:.4f} to {found.high:.4f})" if found.bounded else ""
                lines.append(f"test {name}: {found.value:.4f}{span}, n = {found.n}")
        return lines


def open_splits(  # noqa: PLR0913 - the options of the command line
    source: str,
    *,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    options: ReadOptions | None = None,
    max_bad: int | None = None,
    seed: int = 0,
) -> ImageSet:
    """Open a labelled data set with its splits; those that it lacks are drawn at random, no patient in two of them.

    Raises:
        InputError: There are no labels, no training images, or too many unreadable files.
    """
    data = load_data(source, task=task, classes=classes, options=options or ReadOptions(), max_bad=max_bad, seed=seed)
    if data.task not in YARDSTICKS:
        allowed = ", ".join(YARDSTICKS)
        raise InputError(f"training needs labels of {allowed}; got {data.task or 'images without labels'}")
    if data.task == "segmentation" and not data.classes:
        raise InputError(
            "classes must be given for masks, in the order of their numbers, the background first: "
            "--classes background,lung"
        )
    notes = list(data.notes)
    found = {item.split for item in data.items} - {None}
    if not found:
        data = replace(data, items=make_splits(data.items, val_share=VAL_SHARE, seed=seed))
        notes.append(f"No splits were given: a fifth is held out; audit it with --split test --seed {seed}.")
    elif "val" not in found and "train" in found:
        data = _carve_validation(data, seed)
        notes.append("No val split was given: a tenth of the training images stops the training.")
    present = {item.split for item in data.items}
    if not {"train", "val"} <= present:
        raise InputError(f"training needs images in train and val, got {', '.join(sorted(map(str, present)))}")
    return replace(data, notes=tuple(notes))


def open_parts(source: str, **options: Any) -> Parts:  # noqa: ANN401 - those of `open_splits`
    """Open a data set for training, by its splits; the options and errors are those of `open_splits`."""
    data = open_splits(source, **options)
    test = data.split("test") if any(item.split == "test" for item in data.items) else None
    return Parts(training=data.split("train"), validation=data.split("val"), test=test, notes=data.notes)


def _carve_validation(data: ImageSet, seed: int) -> ImageSet:
    rows = [i for i, item in enumerate(data.items) if item.split == "train"]
    drawn = make_splits([data.items[i] for i in rows], val_share=VAL_SHARE, test_share=0.0, seed=seed)
    items = list(data.items)
    for i, item in zip(rows, drawn, strict=True):
        items[i] = item
    return replace(data, items=tuple(items))


def train_on(  # noqa: PLR0913 - data, network, settings, folder
    parts: Parts,
    request: TrainRequest,
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    watch: Watch | None = None,
) -> Trained:
    """Train the network that is asked for and measure it on the test split.

    Raises:
        InputError: As `aseptic.models.training.train`; or no readable image is left in a split.
    """
    data, first = parts.training, parts.training.read(0).pixels
    size = (request.size,) * (first.ndim - 1) if isinstance(request.size, int) else request.size
    channels = request.channels or (1 if first.shape[0] == 1 else 3)
    fitted = [part.fit(size, channels).verify() for part in (parts.training, parts.validation)]
    kept_out: dict[str, str] = {}
    for name, part in zip(("train", "val"), fitted, strict=True):
        kept_out |= {one.file: one.reason for one in part.unreadable}
        if not len(part):
            raise InputError(f"the {name} split must hold at least one readable image, got none{_why(part)}")
    subject = new_subject(
        request.arch,
        task=str(data.task),
        classes=data.classes,
        size=size,
        channels=channels,
        mean=request.mean,
        std=request.std,
        seed=config.seed,
    )
    sources = Sources(training=fitted[0], validation=fitted[1])
    result = train(subject, sources, config, folder, resume=resume, watch=watch)
    found, shown = None, yardstick_of(subject.task).shown
    if parts.test is not None:
        test = parts.test.fit(size, channels).verify()
        kept_out |= {one.file: one.reason for one in test.unreadable}
        found = measured(subject, test, config) if len(test) else None
    return Trained(result=result, test=found, shown=shown, kept_out=kept_out)


def _why(part: ImageSet) -> str:
    """Return the reason of the first file that was kept out, for a message."""
    return f": {part.unreadable[-1].file}: {part.unreadable[-1].reason}" if part.unreadable else ""


def measured(subject: Subject, test: ImageSet, config: TrainConfig) -> dict[str, Estimate]:
    """Return every number of the task on these images, with intervals by patient."""
    yardstick = yardstick_of(subject.task)
    parts = [
        pd.DataFrame(yardstick.columns(predict(subject, batch.images, config.batch_size), batch.targets))
        for batch in test.batches(config.batch_size)
        if batch.targets is not None
    ]
    rows = pd.concat(parts, ignore_index=True).assign(success=False, eligible=True)
    sample = resample(test.patients, len(test), rng=numpy_stream(config.seed, "bootstrap"))
    values, _ = yardstick.read(rows)
    return {name: found.estimate for name, found in yardstick.measure(values, sample).items()}
