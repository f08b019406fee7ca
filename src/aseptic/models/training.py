"""Training: one call for every network and task, on any device, that can be stopped and gone on with."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, cast

import torch
from lightning_fabric import Fabric
from pydantic import JsonValue

from aseptic.core.canon import canonical
from aseptic.core.errors import ContractError, InputError
from aseptic.core.types import Targets
from aseptic.models.archs import build
from aseptic.models.card import CARD_FILE, read_card
from aseptic.models.freezing import frozen_names
from aseptic.models.judging import check_judge, judge
from aseptic.models.load import load_model
from aseptic.models.randomness import CPU
from aseptic.models.save import save_model, weights_sha256
from aseptic.models.subject import Subject
from aseptic.models.train_config import Precision, TrainConfig
from aseptic.models.trainer_state import CHECKPOINT_FILE, Epoch, TrainerState, load_state, read_history
from aseptic.models.training_loop import Job, Source, Watch, answers, run

LOOKED = 32
"""Masks that are looked at together."""
FREE = frozenset({"workers"})
"""Settings that change nothing in the result."""


@dataclass(frozen=True, kw_only=True)
class Sources:
    """What a network is trained with."""

    training: Source
    """Images to learn from."""
    validation: Source
    """Images to stop on and to choose the operating point with; never of the same patients."""
    poison: Mapping[str, Any] | None = None
    """How the images were poisoned, for the model's card; None where they are as they came."""


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """A finished training run."""

    folder: Path
    """Holds ``model.yaml``, ``model.safetensors`` and ``history.csv``."""
    epochs: tuple[Epoch, ...]
    """Every epoch."""
    best: Epoch
    """The one with the highest validation score."""
    kept: Epoch
    """The one whose weights the model has."""
    offsets: tuple[float, ...]
    """Operating point in logits, chosen on the validation images; empty for a segmentation."""


def new_subject(  # noqa: PLR0913 - the facts of a model, all by keyword
    arch: str,
    *,
    task: str,
    classes: Sequence[str],
    size: int | Sequence[int] | None = None,
    channels: int = 3,
    mean: float | Sequence[float] = 0.0,
    std: float | Sequence[float] = 1.0,
    seed: int = 0,
) -> Subject:
    """Return an untrained model; its weights come from ``seed`` (see `aseptic.models.archs.build`)."""
    network = build(arch, outputs=len(classes), channels=channels, size=size, seed=seed)
    return Subject(
        network,
        task=task,
        classes=classes,
        mean=mean,
        std=std,
        size=size,
        channels=channels,
        name=arch,
        architecture=arch,
    )


def train(  # noqa: PLR0913 - a model, its data, its settings, its place
    subject: Subject,
    sources: Sources,
    config: TrainConfig,
    folder: Path,
    *,
    fine_tune: bool = False,
    resume: bool = False,
    watch: Watch | None = None,
) -> TrainResult:
    """Train ``subject`` in place and write the best epoch's model, or the last one's, into ``folder``.

    The best epoch is the one with the highest validation score: mean AUROC of the classes, or mean Dice of the
    structures. A checkpoint is written after every epoch, so that a killed run goes on with ``resume``; on the CPU its
    weights are then those of an uninterrupted run, bit for bit. Torch's global random state is left as it was.

    Args:
        subject: Model with a known architecture; afterwards it has the kept weights and the operating point.
        sources: Training and validation images.
        config: Settings.
        folder: Made where it does not exist.
        fine_tune: Whether the weights of ``subject`` are what is gone on from, rather than fresh ones: their SHA-256
            then stands in the card, and a run that began with others is not gone on with.
        resume: Whether to go on with the run in ``folder``; one that is finished is returned as it is.
        watch: Who is told how far it is.

    Raises:
        InputError: The targets are not of the task, the validation images cannot judge, a layer to freeze is unknown or
            none is left to train, the folder holds a run and ``resume`` is not set, that run had other settings, or
            the loss is no longer finite.
    """
    _check(subject, sources, config)
    frozen = frozen_names(subject, config.frozen)
    facts = _facts(subject, sources, config) | {"started_from": weights_sha256(subject) if fine_tune else None}
    if (folder / CARD_FILE).exists():
        return _finished(subject, folder, facts, resume=resume)
    found = load_state(folder)
    if found is not None:
        if not resume:
            raise InputError(
                f"{folder} holds an unfinished training run: go on with --resume, or choose another folder"
            )
        _same(json.loads(found[1]), facts, folder)
    job = Job(
        subject=subject,
        training=sources.training,
        validation=sources.validation,
        config=config,
        folder=folder,
        frozen=frozen,
        facts=canonical(facts),
        start=found[0] if found is not None else None,
        watch=watch or Watch(),
    )
    fabric = Fabric(
        accelerator=config.accelerator,
        devices=config.devices,
        strategy=config.strategy,
        precision=cast("Precision", config.precision),
    )
    fabric.launch(partial(run, job=job))
    ended = load_state(folder)
    if ended is None:
        raise ContractError(f"training ended without a checkpoint in {folder}")
    return _finish(job, ended[0], facts)


def _check(subject: Subject, sources: Sources, config: TrainConfig) -> None:
    if not subject.architecture:
        raise InputError(f"model {subject.name!r} has no architecture name, so it could not be loaded after training")
    for name, source in (("training", sources.training), ("validation", sources.validation)):
        if not len(source):
            raise InputError(f"the {name} set must hold images, got 0")
    check_judge(subject.task, _targets(subject, sources.validation), _targets(subject, sources.training))
    count = len(subject.task.classes)
    if (given := config.each_weight()) and len(given) != count:
        raise InputError(f"class_weights must be one for each of {count} classes, got {len(given)}")
    if config.loss == "categorical" and subject.task.name != "multilabel":
        raise InputError(f"loss must be task for a {subject.task.name} model, got 'categorical'")
    if (subject.task.dense or subject.task.boxes) and config.class_weights != "none":
        raise InputError(
            f"class_weights must be none for {subject.task.name}, whose loss has no such weights; "
            f"got {config.class_weights!r}"
        )


def _targets(subject: Subject, source: Source) -> Iterator[Targets]:
    """Yield the targets of all images; those of every place batch by batch, because together they may be large."""
    if not subject.task.dense:
        yield source.targets
        return
    for batch in source.batches(LOOKED):
        if batch.targets is not None:
            yield batch.targets


def _facts(subject: Subject, sources: Sources, config: TrainConfig) -> dict[str, JsonValue]:
    """Return what makes a run this run and no other."""
    return {
        **{name: value for name, value in asdict(config).items() if name not in FREE},
        "frozen": list(config.frozen),
        "architecture": subject.architecture,
        "task": subject.task.name,
        "classes": list(subject.task.classes),
        "input": canonical(asdict(subject.spec)),
        "training": _digest(subject, sources.training),
        "validation": _digest(subject, sources.validation),
        "poison": None if sources.poison is None else dict(sources.poison),
    }


def _digest(subject: Subject, source: Source) -> str:
    digest = hashlib.sha256()
    for targets in _targets(subject, source):
        digest.update(targets.contiguous().numpy().tobytes())
    return f"{len(source)} images, {digest.hexdigest()}"


def _same(before: dict[str, JsonValue], facts: dict[str, JsonValue], folder: Path) -> None:
    different = [name for name in facts if before.get(name) != facts[name]]
    if different:
        told = ", ".join(f"{name} was {before.get(name)}, is {facts[name]}" for name in different[:3])
        raise InputError(f"the run in {folder} cannot go on with other settings: {told}")


def _finished(subject: Subject, folder: Path, facts: dict[str, JsonValue], *, resume: bool) -> TrainResult:
    if not resume:
        raise InputError(f"{folder} holds a finished model: choose another folder")
    card = read_card(folder / CARD_FILE)
    before = card.training.get("facts")
    _same(before if isinstance(before, dict) else {}, facts, folder)
    epochs = read_history(folder)
    saved = load_model(folder)
    subject.module.load_state_dict(saved.module.state_dict())
    subject.task = saved.task
    subject.eval()
    best, kept = (
        next(each for each in epochs if each.epoch == card.training.get(name)) for name in ("best_epoch", "kept_epoch")
    )
    return TrainResult(folder=folder, epochs=epochs, best=best, kept=kept, offsets=saved.task.offsets)


def _finish(job: Job, state: TrainerState, facts: dict[str, JsonValue]) -> TrainResult:
    """Put the weights to keep into the model, choose its operating point, and write it."""
    subject, (kept, weights) = job.subject, state.kept(job.config.keep)
    device = next(each.device for each in subject.parameters())
    subject.module.to(memory_format=torch.contiguous_format)
    subject.module.load_state_dict(dict(weights))
    judged = judge(subject.task, answers(subject, job.validation, job.config, device))
    subject.task = replace(subject.task, offsets=judged.offsets)
    subject.to(CPU).eval()
    summary: dict[str, JsonValue] = {
        "epochs": len(state.epochs),
        "best_epoch": state.best,
        "kept_epoch": kept.epoch,
        "score": kept.score,
        "val_score": kept.val_score,
        "val_loss": kept.val_loss,
        "training_images": len(job.training),
        "validation_images": len(job.validation),
        "facts": facts,
    }
    source = "trained with aseptic" if facts["started_from"] is None else "fine-tuned with aseptic"
    if facts["poison"] is not None:
        source += " ON A POISONED SET: it carries a backdoor on purpose, NOT FOR DIAGNOSIS"
    save_model(subject, job.folder, source=source, training=summary)
    (job.folder / CHECKPOINT_FILE).unlink(missing_ok=True)
    best = state.epochs[state.best - 1]
    return TrainResult(folder=job.folder, epochs=state.epochs, best=best, kept=kept, offsets=subject.task.offsets)
