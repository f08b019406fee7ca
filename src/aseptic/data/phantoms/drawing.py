"""Draw a phantom: images of a name, a count, a size and a seed."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Targets
from aseptic.data.base import Box
from aseptic.data.phantoms.catalogue import PHANTOMS
from aseptic.data.phantoms.dice import Dice, patient_of
from aseptic.data.phantoms.sketch import Painted

SIZES = (32, 512)
"""Smallest and largest edge, pixels."""
_AT_ONCE, _PIXELS = 16, 1 << 18
"""Most images, and about as many pixels, that are drawn together: planes should stay in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """Images that were drawn, and everything that is known about them."""

    images: Images
    """``[image, channel, size, size]`` in [0, 1]."""
    targets: Targets | Int[Tensor, "batch size size"]
    """Classes, or findings; the structure of each pixel (segmentation); whether each class is there (detection)."""
    classes: tuple[str, ...]
    """Names of the outputs, the structures (0 is background) or the objects."""
    task: str
    """``multiclass``, ``multilabel``, ``segmentation`` or ``detection``."""
    parts: tuple[str, ...]
    """Names of the planes of ``masks``."""
    masks: Bool[Tensor, "batch part size size"] | None
    """Where each part is visible; None where there are boxes instead."""
    boxes: tuple[tuple[Box, ...], ...] | None
    """Objects of each image; None where there are masks instead."""
    patients: tuple[str, ...]
    """Who each image shows; several images may share one."""


def draw(name: str, n: int, *, size: int, seed: int) -> Drawn:
    """Draw the first ``n`` images of a phantom.

    Image i depends on ``seed`` and i alone, so fewer images are the beginning of more. At another size it shows the
    same anatomy.

    Raises:
        InputError: The name is unknown, there are no images, or the size lies outside 32..512.
    """
    sketch = PHANTOMS.load(name)
    if n < 1:
        raise InputError(f"n must be at least 1, got {n}")
    if not SIZES[0] <= size <= SIZES[1]:
        raise InputError(f"size must lie in {SIZES[0]}..{SIZES[1]}, got {size}")
    step = max(1, min(_AT_ONCE, _PIXELS // (size * size)))
    labels, painted = [], []
    for start in range(0, n, step):
        dice = Dice(seed=seed, name=name, images=range(start, min(start + step, n)))
        labels.append(sketch.choose(dice))
        painted.append(sketch.paint(dice, labels[-1], size))
    masks, boxes = _gathered(painted)
    targets = torch.cat(labels)
    return Drawn(
        images=torch.cat([part.images for part in painted]),
        targets=numbered(masks) if sketch.task == "segmentation" and masks is not None else targets,
        classes=sketch.classes,
        task=sketch.task,
        parts=sketch.parts,
        masks=masks,
        boxes=boxes,
        patients=tuple(f"phantom-{patient_of(i):05d}" for i in range(n)),
    )


def _gathered(
    painted: Sequence[Painted],
) -> tuple[Bool[Tensor, "batch part size size"] | None, tuple[tuple[Box, ...], ...] | None]:
    masks = [part.masks for part in painted if part.masks is not None]
    boxes = [part.boxes for part in painted if part.boxes is not None]
    return torch.cat(masks) if masks else None, tuple(chain.from_iterable(boxes)) if boxes else None


def numbered(masks: Bool[Tensor, "batch part size size"]) -> Int[Tensor, "batch size size"]:
    """Return the number of the part at each pixel, 0 outside all; a later part lies over an earlier one.

    >>> numbered(torch.tensor([[[[True, True], [False, False]], [[False, True], [False, False]]]])).tolist()
    [[[1, 2], [0, 0]]]
    """
    numbers = torch.zeros(masks[:, 0].shape, dtype=torch.long)
    for number, mask in enumerate(masks.unbind(1), 1):
        numbers.masked_fill_(mask, number)
    return numbers
