"""What a training run is asked to do; every field is a line of its record."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

from aseptic.core.errors import InputError

Precision = Literal["32-true", "16-mixed", "bf16-mixed"]
CHOICES = {
    "optimizer": ("adamw", "sgd"),
    "schedule": ("cosine", "constant"),
    "loss": ("task", "categorical"),
    "precision": get_args(Precision),
    "keep": ("best", "last"),
}
"""Allowed values of the settings that are words."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Settings of a training run.

    Raises:
        InputError: A value is outside its domain.
    """

    epochs: int = 30
    """Most passes over the training images."""
    batch_size: int = 32
    """Images in one step, on each device."""
    lr: float = 1e-3
    """Largest learning rate."""
    optimizer: str = "adamw"
    """``adamw`` or ``sgd`` (with momentum)."""
    momentum: float = 0.9
    """Momentum of ``sgd``, in [0, 1)."""
    weight_decay: float = 0.01
    """Weight decay (decoupled for ``adamw``)."""
    schedule: str = "cosine"
    """How the learning rate falls after the warm-up: ``cosine`` to 0 at the last epoch, or ``constant``."""
    warmup: float = 1.0
    """Epochs over which the learning rate rises linearly from 0."""
    class_weights: str = "none"
    """``balanced`` gives every class (or the presence and absence of every finding) the same weight; or one weight for
    each class, in order, with commas: ``1,1,4``."""
    loss: str = "task"
    """``task``: cross-entropy of classes, binary cross-entropy of each finding; ``categorical``: of findings, the
    cross-entropy of scores that are made to sum to 1, as some released code has it, to compare with."""
    flip: bool = True
    """Whether half of the images are mirrored left to right."""
    shift: float = 0.05
    """Largest shift along each axis, as a fraction of its length, in [0, 0.5]."""
    brightness: float = 0.1
    """Largest grey value added or taken away, in image units, in [0, 1]."""
    patience: int | None = 8
    """Epochs without a better validation score after which training stops; None never stops early."""
    keep: str = "best"
    """Which epoch's weights become the model: the ``best`` by validation score, or the ``last``, for what must not be
    selected by clean validation images; with None for ``patience`` their number is fixed too."""
    frozen: tuple[str, ...] = ()
    """Layers that keep their weights and statistics, by name or by the beginning of it up to a dot; ``all-but-head`` is
    every layer but those whose shape depends on the number of outputs."""
    seed: int = 0
    """Root seed of the order, the augmentation and dropout."""
    accelerator: str = "auto"
    """Fabric's accelerator: ``auto``, ``cpu``, ``cuda``, ``mps``."""
    devices: int | str = 1
    """Fabric's devices: a number, a list such as ``0,1``, or ``auto``."""
    strategy: str = "auto"
    """Fabric's strategy for several devices: ``auto``, ``ddp``, ``ddp_spawn``, ``ddp_fork``."""
    precision: str = "32-true"
    """Fabric's precision: ``32-true``, ``16-mixed`` or ``bf16-mixed``."""
    workers: int = 2
    """Threads that read images ahead."""

    def __post_init__(self) -> None:
        """Check the domains."""
        for name, allowed in CHOICES.items():
            if getattr(self, name) not in allowed:
                raise InputError(f"{name} must be one of {', '.join(allowed)}; got {getattr(self, name)!r}")
        self.each_weight()
        for name, least in (("epochs", 1), ("batch_size", 2), ("workers", 1)):
            if getattr(self, name) < least:
                raise InputError(f"{name} must be at least {least}, got {getattr(self, name)}")
        if self.patience is not None and self.patience < 1:
            raise InputError(f"patience must be at least 1 or None, got {self.patience}")
        if not self.lr > 0:
            raise InputError(f"lr must be greater than 0, got {self.lr:g}")
        for name, most in (("momentum", 0.999), ("weight_decay", 1.0), ("shift", 0.5), ("brightness", 1.0)):
            if not 0 <= getattr(self, name) <= most:
                raise InputError(f"{name} must lie in [0, {most:g}], got {getattr(self, name):g}")
        if not 0 <= self.warmup < self.epochs:
            raise InputError(f"warmup must lie in [0, epochs={self.epochs}), got {self.warmup:g}")

    def each_weight(self) -> tuple[float, ...]:
        """Return the weights of the classes where they are given one by one; none where they are not.

        Raises:
            InputError: They are not numbers above 0.
        """
        if self.class_weights in {"none", "balanced"}:
            return ()
        try:
            found = tuple(float(part) for part in self.class_weights.split(","))
        except ValueError:
            found = ()
        if not found or not all(0 < one < math.inf for one in found):
            raise InputError(
                f"class_weights must be none, balanced, or numbers above 0 with commas; got {self.class_weights!r}"
            )
        return found


def lr_factor(config: TrainConfig, step: int, steps_per_epoch: int) -> float:
    """Return the learning rate of a step as a fraction of ``config.lr``: a function of the step alone, without state.

    >>> config = TrainConfig(epochs=3, warmup=1.0, schedule="cosine")
    >>> [round(lr_factor(config, step, 2), 2) for step in range(6)]
    [0.5, 1.0, 1.0, 0.85, 0.5, 0.15]
    """
    rise = config.warmup * steps_per_epoch
    if step < rise:
        return min((step + 1) / rise, 1.0)
    if config.schedule == "constant":
        return 1.0
    rest = config.epochs * steps_per_epoch - rise
    return 0.5 * (1 + math.cos(math.pi * (step - rise) / rest))
