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
from aseptic.data.matching import match_classes
from aseptic.data.splits import draw_share, make_splits
from aseptic.metrics.bootstrap import resample
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig
from aseptic.models.training import Sources, TrainResult, new_subject, train
from aseptic.models.training_loop import Watch
from aseptic.poisoning.mixing import mix
from aseptic.poisoning.plan import PoisonPlan
from aseptic.poisoning.poison import check_pin, poison
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
    plan: PoisonPlan | None = None
    """How the images are poisoned while they are read."""


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
    """Epochs, and the one that was kept."""
    test: dict[str, Estimate] | None
    """Every metric on the test split, where there is one."""
    shown: tuple[str, ...]
    """Metrics that stand in the summary."""
    kept_out: Mapping[str, str]
    """Files that could not be used, and why; where masks are the targets, also images without one."""

    def summary(self) -> list[str]:
        """Return the outcome in lines for a terminal."""
        best, kept, count = self.result.best, self.result.kept, len(self.result.epochs)
        lines = [f"best epoch {best.epoch} of {count}, validation {best.score} {best.val_score:.4f}"]
        if kept != best:
            lines.append(f"kept epoch {kept.epoch}, the last, validation {kept.score} {kept.val_score:.4f}")
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

    The options are those of `aseptic.data.load.load_data`.

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


def open_parts(
    source: str,
    *,
    share: float = 1.0,
    plan: PoisonPlan | None = None,
    seed: int = 0,
    **options: Any,  # noqa: ANN401 - those of `open_splits`
) -> Parts:
    """Open a data set for training, by its splits.

    Args:
        source: As `open_splits`.
        share: Share of the training patients that is used, see `aseptic.data.splits.draw_share`.
        plan: How the images are poisoned while they are read; None leaves them clean.
        seed: Root seed of random splits and of the share.
        **options: As `open_splits`.

    Raises:
        InputError: As `open_splits`; there is no such share, or the plan was made for another set.
    """
    data = open_splits(source, seed=seed, **options)
    if plan is not None:
        check_pin(data, plan)
    notes, training = list(data.notes), data.split("train")
    part = training.select(draw_share(training.items, share, seed=seed))
    if len(part) < len(training):
        notes.append(_drawn(part, training, seed))
    test = data.split("test") if any(item.split == "test" for item in data.items) else None
    return Parts(training=part, validation=data.split("val"), test=test, notes=tuple(notes), plan=plan)


def _drawn(part: ImageSet, whole: ImageSet, seed: int) -> str:
    """Return in words what was drawn from the training images, and which classes were lost."""
    counts = [len({item.patient or item.id for item in one.items}) for one in (part, whole)]
    told = f"{counts[0]} of {counts[1]} patients, {len(part)} of {len(whole)} images" if any(whole.patients) else ""
    labels = [{item.label for item in one.items} for one in (part, whole)]
    lost = [name for k, name in enumerate(whole.classes) if whole.task == "multiclass" and k in labels[1] - labels[0]]
    absent = f" None shows {', '.join(lost)}." if lost else ""
    return f"Trained on {told or f'{len(part)} of {len(whole)} images'}, drawn with seed {seed}.{absent}"


def _carve_validation(data: ImageSet, seed: int) -> ImageSet:
    rows = [i for i, item in enumerate(data.items) if item.split == "train"]
    drawn = make_splits([data.items[i] for i in rows], val_share=VAL_SHARE, test_share=0.0, seed=seed)
    items = list(data.items)
    for i, item in zip(rows, drawn, strict=True):
        items[i] = item
    return replace(data, items=tuple(items))


def train_on(  # noqa: PLR0913 - data, network, settings, folder
    parts: Parts,
    network: TrainRequest | Subject,
    config: TrainConfig,
    folder: Path,
    *,
    resume: bool = False,
    watch: Watch | None = None,
) -> Trained:
    """Train a network and measure it on the test split.

    Args:
        parts: The data.
        network: What is asked for, with fresh weights; or a model whose weights are gone on from, in place, with its
            own classes, size and channels. To ``resume``, give the model as it was at first.
        config: Settings.
        folder: As `aseptic.models.training.train`.
        resume: As there.
        watch: As there.

    Raises:
        InputError: As `aseptic.models.training.train`; the data is not of the model's task and classes; or no readable
            image is left in a split.
    """
    subject = network if isinstance(network, Subject) else _fresh(network, parts.training, config.seed)
    fitted = [_fitted(part, subject) for part in (parts.training, parts.validation)]
    kept_out: dict[str, str] = {}
    for name, part in zip(("train", "val"), fitted, strict=True):
        kept_out |= {one.file: one.reason for one in part.unreadable}
        if not len(part):
            raise InputError(f"the {name} split must hold at least one readable image, got none{_why(part)}")
    sources = _sources(fitted, parts.plan, config.batch_size)
    fine_tune = isinstance(network, Subject)
    result = train(subject, sources, config, folder, fine_tune=fine_tune, resume=resume, watch=watch)
    found, shown = None, yardstick_of(subject.task).shown
    if parts.test is not None:
        test = _fitted(parts.test, subject)
        kept_out |= {one.file: one.reason for one in test.unreadable}
        found = measured(subject, test, config) if len(test) else None
    return Trained(result=result, test=found, shown=shown, kept_out=kept_out)


def _sources(fitted: Sequence[ImageSet], plan: PoisonPlan | None, batch_size: int) -> Sources:
    """Return what is trained on and what stops it, the splits of the plan poisoned."""
    if plan is None:
        return Sources(training=fitted[0], validation=fitted[1])
    plan = plan.model_copy(update={"data": None})  # it was compared with the whole set, of which these are parts
    told = plan.model_dump(mode="json")
    if plan.loop == "batch":
        return Sources(training=mix(fitted[0], plan, batch_size), validation=fitted[1], poison=told)
    parts = [
        poison(part, plan).data if name in plan.splits else part
        for name, part in zip(("train", "val"), fitted, strict=True)
    ]
    return Sources(training=parts[0], validation=parts[1], poison=told)


def _fresh(request: TrainRequest, data: ImageSet, seed: int) -> Subject:
    first = data.read(0).pixels
    return new_subject(
        request.arch,
        task=str(data.task),
        classes=data.classes,
        size=(request.size,) * (first.ndim - 1) if isinstance(request.size, int) else request.size,
        channels=request.channels or (1 if first.shape[0] == 1 else 3),
        mean=request.mean,
        std=request.std,
        seed=seed,
    )


def _fitted(data: ImageSet, subject: Subject) -> ImageSet:
    """Return the readable images at the model's size, with its numbers of the classes."""
    if data.task != subject.task.name:
        raise InputError(f"data must be {subject.task.name} as the model is, got {data.task}")
    matched = match_classes(data, subject.task.classes)
    return matched.fit(subject.spec.size, subject.spec.channels).verify()


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
