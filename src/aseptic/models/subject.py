"""The model under test: normalisation, size and channels inside, so that every budget is in image units."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits, Targets
from aseptic.ops.boxes import rescaled
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
            module: The network. A torchvision RetinaNet or Faster R-CNN is taken apart: its own resizing and
                normalisation are replaced by ``size``, ``mean`` and ``std``, so that budgets are in image units.
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
        self.task: Task = task if isinstance(task, Task) else make_task(task, classes)
        self.module = _candidates(module) if self.task.boxes else module
        self.training = module.training
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
        """Return logits for images in [0, 1].

        ``[batch, output]``; for segmentation of every place of the images; for detection ``[batch, output + 4,
        candidate]`` with the corners of every candidate's box in pixels of the images, after the logits of the classes.
        """
        fed = self.prepare(images)
        found: Tensor = self.module(fed)
        if self.task.boxes:
            return _placed(found, len(self.task.classes), fed, images)
        if self.task.dense and found.ndim == images.ndim:
            return resize(found, tuple(images.shape[2:]))
        return found

    def native_loss(self, images: Images, targets: Targets) -> Float[Tensor, ""]:
        """Return the loss that a detector is trained with, of a batch; objects as `aseptic.tasks.detection` has them.

        Raises:
            InputError: The network is no detector that has one.
        """
        from aseptic.models.detectors import training_loss  # noqa: PLC0415 - a second to import

        fed = self.prepare(images)
        boxes = rescaled(targets[..., 1:], images.shape[2:], fed.shape[2:])
        return training_loss(self.module, fed, torch.cat([targets[..., :1], boxes], 2))


def _candidates(module: nn.Module) -> nn.Module:
    from aseptic.models.detectors import as_detector  # noqa: PLC0415 - a second to import

    return as_detector(module)


def _placed(found: Tensor, outputs: int, fed: Tensor, images: Images) -> Tensor:
    """Return candidates with their boxes in pixels of the images that were given, not of those that were fed."""
    if fed.shape[2:] == images.shape[2:] or found.ndim != 3 or found.shape[1] != outputs + 4:  # noqa: PLR2004 - refused later
        return found
    boxes = rescaled(found[:, outputs:].transpose(1, 2), fed.shape[2:], images.shape[2:])
    return torch.cat([found[:, :outputs], boxes.transpose(1, 2)], 1)


def _per_channel(name: str, value: float | Sequence[float], channels: int) -> tuple[float, ...]:
    values = (float(value),) * channels if isinstance(value, int | float) else tuple(float(v) for v in value)
    if len(values) not in {1, channels}:
        raise InputError(f"{name} must have 1 or {channels} values, got {len(values)}")
    return values * channels if len(values) == 1 else values
