"""Where a training run stands: what is written after every epoch, so that it can go on from there."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.files import write_whole

CHECKPOINT_FILE = "checkpoint.pt"
HISTORY_FILE = "history.csv"
NUMBERS = ("train_loss", "val_loss", "val_score", "lr", "seconds")
"""Columns of the history that are numbers."""


@dataclass(frozen=True, kw_only=True)
class Epoch:
    """What one pass over the training images came to."""

    epoch: int
    """Number of the pass, from 1."""
    train_loss: float
    """Mean training loss, in nats, with augmentation and class weights."""
    val_loss: float
    """Mean validation loss, in nats, without weights."""
    val_score: float
    """What the best epoch is chosen by, on the validation images; more is better."""
    score: str
    """What ``val_score`` is: ``AUROC`` (mean over classes), or ``Dice`` (mean over structures and images)."""
    lr: float
    """Learning rate of the last step."""
    seconds: float
    """Wall-clock time of training and validation."""

    @property
    def rank(self) -> tuple[float, float]:
        """What decides which epoch is best: the score, and the smaller loss among equals."""
        return self.val_score, -self.val_loss


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainerState:
    """A run between two epochs."""

    epochs: tuple[Epoch, ...] = ()
    """The finished epochs."""
    best: int = 0
    """Number of the best one; 0 before the first."""
    best_weights: Mapping[str, Tensor]
    """Its weights."""
    weights: Mapping[str, Tensor]
    """The weights after the last epoch."""
    optimizer: Mapping[str, Any]
    """State of the optimiser after the last epoch."""

    @property
    def stale(self) -> int:
        """Number of epochs since the best one."""
        return len(self.epochs) - self.best

    def kept(self, keep: str) -> tuple[Epoch, Mapping[str, Tensor]]:
        """Return the epoch that ``keep`` asks for, ``best`` or ``last``, and its weights."""
        if keep == "last":
            return self.epochs[-1], self.weights
        return self.epochs[self.best - 1], self.best_weights

    def after(self, epoch: Epoch, weights: Mapping[str, Tensor], optimizer: Mapping[str, Any]) -> "TrainerState":
        """Return the state one epoch later."""
        copy = {name: value.detach().cpu().clone() for name, value in weights.items()}
        better = self.best == 0 or epoch.rank > self.epochs[self.best - 1].rank
        return TrainerState(
            epochs=(*self.epochs, epoch),
            best=epoch.epoch if better else self.best,
            best_weights=copy if better else self.best_weights,
            weights=copy,
            optimizer=optimizer,
        )


def save_state(state: TrainerState, folder: Path, facts: str) -> None:
    """Write the checkpoint and the history; each appears whole or not at all.

    Args:
        state: The run.
        folder: Where it is kept.
        facts: What the run is, as canonical JSON; a run with other facts cannot go on from here.
    """
    buffer = io.BytesIO()
    content = {
        "facts": facts,
        "epochs": [asdict(each) for each in state.epochs],
        "best": state.best,
        "best_weights": dict(state.best_weights),
        "weights": dict(state.weights),
        "optimizer": dict(state.optimizer),
    }
    torch.save(content, buffer)
    write_whole(folder / CHECKPOINT_FILE, buffer.getvalue())
    write_whole(folder / HISTORY_FILE, history_text(state.epochs).encode())


def load_state(folder: Path) -> tuple[TrainerState, str] | None:
    """Return the run in ``folder`` and its facts; None where there is none.

    Raises:
        InputError: The checkpoint is damaged.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        epochs = tuple(Epoch(**each) for each in content["epochs"])
        facts = str(content["facts"])
        kept = {name: content[name] for name in ("best", "best_weights", "weights", "optimizer")}
    except Exception as error:  # a damaged file makes the restricted reader raise anything
        raise InputError(f"{path} is damaged; delete it to start again") from error
    return TrainerState(epochs=epochs, **kept), facts


def history_text(epochs: Sequence[Epoch]) -> str:
    """Return the epochs as CSV."""
    text = io.StringIO()
    table = csv.DictWriter(text, [each.name for each in fields(Epoch)], lineterminator="\n")
    table.writeheader()
    table.writerows(asdict(each) for each in epochs)
    return text.getvalue()


def read_history(folder: Path) -> tuple[Epoch, ...]:
    """Return the epochs in ``history.csv``.

    Raises:
        InputError: The file is absent or is not one that `save_state` wrote.
    """
    path = folder / HISTORY_FILE
    try:
        with path.open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        return tuple(
            Epoch(epoch=int(row["epoch"]), score=row["score"], **{name: float(row[name]) for name in NUMBERS})
            for row in rows
        )
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} cannot be read: {error}") from error
