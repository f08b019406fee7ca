"""Small changes that do not change what an image shows: mirror, shift, brightness."""

import torch

from aseptic.core.types import Images, Targets
from aseptic.models.augment_boxes import mirror_boxes, shift_boxes
from aseptic.models.train_config import TrainConfig


def augment(
    images: Images, config: TrainConfig, rng: torch.Generator, masks: Targets | None = None
) -> tuple[Images, Targets | None]:
    """Return changed copies; every image has its own draw, made on the CPU. Masks and boxes move with their images.

    Args:
        images: Images in [0, 1].
        config: Says how large the changes are; 0 and False leave images as they are.
        rng: Stream of the epoch.
        masks: The class of every place, of the images' own size, or objects ``[batch, object, 5]``; None for targets
            that a mirror or shift leaves alone.
    """
    boxes = masks is not None and masks.is_floating_point()
    count, rank, found, moved = len(images), images.ndim, images, masks
    if config.flip:
        mirrored = torch.rand(count, generator=rng) < 0.5  # noqa: PLR2004 - one image in two
        where = mirrored.to(images.device)
        found = torch.where(where.reshape(-1, *(1,) * (rank - 1)), found.flip(-1), found)
        if moved is not None and boxes:
            moved = mirror_boxes(moved, where, images.shape[-1])
        elif moved is not None:
            moved = torch.where(where.reshape(-1, *(1,) * (rank - 2)), moved.flip(-1), moved)
    for axis in range(2, rank):
        length = images.shape[axis]
        if reach := round(config.shift * length):
            moves = torch.randint(-reach, reach + 1, (count, 1), generator=rng)
            # the edge is repeated where the image has moved away from it
            index = (torch.arange(length) - moves).clamp(0, length - 1).to(images.device)
            shape = [count if at == 0 else length if at == axis else 1 for at in range(rank)]
            index = index.reshape(shape)
            found = found.gather(axis, index.expand_as(found))
            if moved is not None and boxes:
                moved = shift_boxes(moved, moves.to(images.device), axis - 2, length)
            elif moved is not None:
                moved = moved.gather(axis - 1, index[:, 0].expand_as(moved))
    if config.brightness:
        added = config.brightness * (2 * torch.rand(count, generator=rng) - 1)
        found = (found + added.to(images).reshape(-1, *(1,) * (rank - 1))).clamp(0, 1)
    return found, moved
