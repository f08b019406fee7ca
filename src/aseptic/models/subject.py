"""The model under test: normalisation, size and channels inside, so that every budget is in image units."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits
from aseptic.ops.images import adapt_channels, resize
from aseptic.tasks.base import Task
from aseptic.tasks.make import make_task


@dataclass(frozen=True, kw_only=True)
class InputSpec:
    """What the wrapped network expects."""

    channels: int = 3
    """1 or 3."""
    size: tuple[int, ...] | None = None
    """Space axes that the network is fed; None leaves images at their own size."""
    mean: tuple[float, ...] = (0.0,)
    """Subtracted from each channel, in image units ([0, 1])."""
    std: tuple[float, ...] = (1.0,)
    """Divided out of each channel, in image units."""


class Subject(nn.Module):
    """Any network as the thing that is audited: images in [0, 1] in, logits out.

    Grey images are repeated for colour networks, colour ones become luma for grey networks, and images of another
    size are resized (bilinear, antialiased) inside, differentiably: an attack therefore acts on the image as stored.
    """

    def __init__(  # noqa: PLR0913 - the facts of a model, all by keyword
        self,
        module: nn.Module,
        *,
        task: str | Task,
        classes: Sequence[str] = (),
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
        size: int | Sequence[int] | None = None,
        channels: int = 3,
        name: str = "",
        architecture: str = "",
    ) -> None:
        """Wrap ``module``; its weights and mode stay as they are.

        Args:
            module: The network.
            task: What its outputs mean.
            classes: Names of the outputs, where ``task`` is a name.
            mean: Subtracted from each channel, in image units ([0, 1]).
            std: Divided out of each channel, in image units.
            size: Pixels along each space axis that it is fed; one number means a square; None leaves any size.
            channels: Channels that it is fed.
            name: What reports call it.
            architecture: Name by which `aseptic.models.archs.build` makes the network, where it has one.

        Raises:
            InputError: An unknown task, no classes, a zero ``std``, or values that do not fit the channels.
        """
        super().__init__()
        self.module = module
        self.training = module.training
        self.task: Task = task if isinstance(task, Task) else make_task(task, classes)
        self.spec = InputSpec(
            channels=channels,
            size=(size, size) if isinstance(size, int) else tuple(size) if size is not None else None,
            mean=_per_channel("mean", mean, channels),
            std=_per_channel("std", std, channels),
        )
        if 0 in self.spec.std:
            raise InputError(f"std must not contain 0, got {list(self.spec.std)}")
        self.name = name or type(module).__name__
        self.architecture = architecture

    def prepare(self, images: Images) -> Tensor:
        """Return the images as the network is fed them: channels, size and normalisation applied."""
        fed = adapt_channels(images, self.spec.channels)
        if self.spec.size is not None and tuple(fed.shape[2:]) != self.spec.size:
            fed = resize(fed, self.spec.size)
        if self.spec.mean == (0.0,) * self.spec.channels and self.spec.std == (1.0,) * self.spec.channels:
            return fed
        shape = (1, -1, *(1,) * (fed.ndim - 2))
        mean, std = (torch.tensor(v).to(fed).reshape(shape) for v in (self.spec.mean, self.spec.std))
        return (fed - mean) / std

    def forward(self, images: Images) -> Logits:
        """Return logits for images in [0, 1]: ``[batch, output]``, for segmentation of every place of the images."""
        found: Tensor = self.module(self.prepare(images))
        if self.task.dense and found.ndim == images.ndim:
            return resize(found, tuple(images.shape[2:]))
        return found


def _per_channel(name: str, value: float | Sequence[float], channels: int) -> tuple[float, ...]:
    values = (float(value),) * channels if isinstance(value, int | float) else tuple(float(v) for v in value)
    if len(values) not in {1, channels}:
        raise InputError(f"{name} must have 1 or {channels} values, got {len(values)}")
    return values * channels if len(values) == 1 else values
