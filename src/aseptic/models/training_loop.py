"""One epoch after another: the loop that `aseptic.models.training.train` runs on every device."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Logits, Targets
from aseptic.models.augment import augment
from aseptic.models.freezing import held
from aseptic.models.guard import untouched
from aseptic.models.judging import SCORES, judge
from aseptic.models.objective import balanced_weights, training_loss
from aseptic.models.randomness import seeded
from aseptic.models.subject import Subject
from aseptic.models.train_config import TrainConfig, lr_factor
from aseptic.models.trainer_state import Epoch, TrainerState, save_state


@runtime_checkable
class Batch(Protocol):
    """Some images with their targets."""

    @property
    def images(self) -> Images:
        """Images in [0, 1]."""

    @property
    def targets(self) -> Targets | None:
        """Their targets."""


@runtime_checkable
class Source(Protocol):
    """A labelled set of images; `aseptic.data.imageset.ImageSet` is one."""

    def __len__(self) -> int:
        """Return the number of images."""

    @property
    def targets(self) -> Targets:
        """Targets of all images."""

    def batches(self, batch_size: int, *, order: Sequence[int] | None = None, workers: int = 2) -> Iterator[Batch]:
        """Yield the images in batches, in ``order`` (positions)."""


@runtime_checkable
class Renewed(Protocol):
    """A source whose images are others in every epoch."""

    def at(self, epoch: int) -> Source:
        """Return the images of an epoch, the same whenever it is asked for."""


@dataclass(frozen=True, kw_only=True)
class Watch:
    """Who is told how far the training is; called on the first process only."""

    epoch: Callable[[Epoch], None] = lambda _: None
    """Called after every epoch, when its checkpoint is on disk."""
    step: Callable[[int, int], None] = lambda _done, _total: None
    """Called after every step with the steps done in this epoch and their number."""
    weights: Callable[[Epoch, Subject], None] | None = None
    """Called after every epoch with the model as it then is, for curves of what it can do.

    The model is in evaluation mode, on the device of the training, and no gradients are recorded (an attack switches
    them on for itself). Torch's global generators are at a stream of the epoch. Mode, flags and generators are put
    back afterwards, and an error is raised where a weight or a running statistic was changed: to watch changes nothing
    in the result. It is called before the checkpoint is written, so that a run that is killed and gone on with misses
    no epoch; the one in which it was killed may come twice, with the same weights. What the model was before the first
    step is the caller's to measure, before training."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Job:
    """All that the loop needs."""

    subject: Subject
    """Trained in place."""
    training: Source
    """Images to learn from."""
    validation: Source
    """Images to stop on."""
    config: TrainConfig
    """Settings."""
    folder: Path
    """Where checkpoints go."""
    frozen: frozenset[str]
    """Modules and parameters that stay as they are."""
    facts: str
    """What the run is, in canonical JSON."""
    start: TrainerState | None
    """Where to go on from."""
    watch: Watch
    """Who is told."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Live:
    """What changes from step to step."""

    model: Any
    """The subject as Fabric wraps it."""
    optimizer: Any
    """The optimiser as Fabric wraps it."""
    still: Sequence[nn.Module]
    """Normalisations that stay in evaluation mode."""


def run(fabric: Fabric, job: Job) -> None:
    """Train until the epochs are over or the validation score has stopped rising; the checkpoint is the result."""
    config, subject = job.config, job.subject
    if fabric.device.type != "cpu" and any(isinstance(each, nn.Conv2d) for each in subject.modules()):
        subject.module.to(memory_format=torch.channels_last)
    if job.start is not None:
        subject.module.load_state_dict(dict(job.start.weights))
    with held(subject, job.frozen) as still:
        model, optimizer = fabric.setup(subject, _optimizer(config, subject))
        model.mark_forward_method("native_loss")
        if job.start is not None:
            optimizer.load_state_dict(job.start.optimizer)
        _epochs(fabric, job, Live(model=model, optimizer=optimizer, still=still))


def _epochs(fabric: Fabric, job: Job, live: Live) -> None:
    config, subject = job.config, job.subject
    state = job.start or TrainerState(best_weights={}, weights={}, optimizer={})
    weights = None
    if config.class_weights == "balanced":
        weights = balanced_weights(job.training.targets, len(subject.task.classes)).to(fabric.device)
    elif given := config.each_weight():
        weights = torch.tensor(given, device=fabric.device)
    for number in range(len(state.epochs) + 1, config.epochs + 1):
        if config.patience is not None and state.stale >= config.patience:
            break
        started = time.perf_counter()
        loss, lr = _learn(fabric, job, live, weights, number)
        found = judge(subject.task, answers(live.model, job.validation, config, fabric.device))
        _converging(config, number, finite=math.isfinite(loss) and found.finite)
        epoch = Epoch(
            epoch=number,
            train_loss=loss,
            val_loss=found.loss,
            val_score=found.score,
            score=SCORES[subject.task.name],
            lr=lr,
            seconds=time.perf_counter() - started,
        )
        # normalisation statistics differ between processes: the first one's numbers decide for all
        epoch = fabric.broadcast(epoch)
        state = state.after(epoch, subject.module.state_dict(), live.optimizer.state_dict())
        if fabric.is_global_zero:
            _show(job, epoch, fabric.device)
            save_state(state, job.folder, job.facts)
            job.watch.epoch(epoch)
        fabric.barrier()


def _show(job: Job, epoch: Epoch, device: torch.device) -> None:
    """Show the weights to who watches them; nothing that it does to the model or the generators stays."""
    if job.watch.weights is None:
        return
    with untouched(job.subject), torch.no_grad(), seeded(job.config.seed, "watch", epoch.epoch, device=device):
        job.watch.weights(epoch, job.subject)


def _converging(config: TrainConfig, epoch: int, *, finite: bool) -> None:
    if not finite:
        raise InputError(
            f"the loss is not finite in epoch {epoch}: training has diverged; choose a smaller lr "
            f"(it is {config.lr:g}) or precision 32-true (it is {config.precision})"
        )


def _optimizer(config: TrainConfig, subject: Subject) -> torch.optim.Optimizer:
    learning = [value for value in subject.parameters() if value.requires_grad]
    if config.optimizer == "adamw":
        return torch.optim.AdamW(learning, lr=config.lr, weight_decay=config.weight_decay)
    return torch.optim.SGD(learning, lr=config.lr, momentum=config.momentum, weight_decay=config.weight_decay)


def _order(config: TrainConfig, count: int, epoch: int, fabric: Fabric) -> list[int]:
    """Return the positions that this process sees in this epoch; every process gets as many."""
    order: list[int] = torch.randperm(count, generator=stream(config.seed, "order", epoch)).tolist()
    order += order[: -count % fabric.world_size]
    mine = order[fabric.global_rank :: fabric.world_size]
    # normalisation cannot learn from a batch of one image
    return mine[:-1] if len(mine) > 1 and len(mine) % config.batch_size == 1 else mine


def _learn(fabric: Fabric, job: Job, live: Live, weights: Tensor | None, epoch: int) -> tuple[float, float]:
    """Pass once over the training images; return the mean loss and the last learning rate."""
    model, optimizer, config, task = live.model, live.optimizer, job.config, job.subject.task
    order = _order(config, len(job.training), epoch, fabric)
    steps = math.ceil(len(order) / config.batch_size)
    rng = stream(config.seed, "augment", epoch, fabric.global_rank)
    total, lr = torch.zeros((), device=fabric.device), 0.0
    model.train()
    for layer in live.still:
        layer.eval()
    # dropout draws from torch's global generators; a stream of the epoch makes a resumed run draw the same
    with seeded(config.seed, "dropout", epoch, fabric.global_rank, device=fabric.device):
        source = job.training.at(epoch) if isinstance(job.training, Renewed) else job.training
        batches = source.batches(config.batch_size, order=order, workers=config.workers)
        for step, batch in enumerate(batches):
            lr = config.lr * lr_factor(config, (epoch - 1) * steps + step, steps)
            for group in optimizer.param_groups:
                group["lr"] = lr
            given, targets = fabric.to_device(batch.images), fabric.to_device(batch.targets)
            images, moved = augment(given, config, rng, targets if task.dense or task.boxes else None)
            if task.boxes:
                loss = model.native_loss(images, moved)
            else:
                logits = _shaped(job, images, model(images).float())
                loss = training_loss(task, logits, targets if moved is None else moved, weights, config.loss)
            optimizer.zero_grad()
            fabric.backward(loss)
            optimizer.step()
            total += loss.detach() * len(images)
            if fabric.is_global_zero:
                job.watch.step(step + 1, steps)
    return float(total) / len(order), lr


def _shaped(job: Job, images: Images, logits: Logits) -> Logits:
    """Return the logits, which must be of the task: an architecture may answer another question."""
    wanted = job.subject.task.shape(images)
    if [*logits.shape] != wanted:
        raise InputError(
            f"{job.subject.architecture} does not serve the task {job.subject.task.name}: logits must be {wanted}, "
            f"got {[*logits.shape]}"
        )
    return logits


def answers(
    model: nn.Module, source: Source, config: TrainConfig, device: torch.device
) -> Iterator[tuple[Logits, Targets]]:
    """Yield the logits of all images, in evaluation mode, and their targets, batch by batch, on the CPU."""
    model.eval()
    for batch in source.batches(config.batch_size, workers=config.workers):
        with torch.no_grad():
            logits = model(batch.images.to(device)).float().cpu()
        if batch.targets is not None:
            yield logits, batch.targets
