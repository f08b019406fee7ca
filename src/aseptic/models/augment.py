"""Small changes that do not change what an image shows: mirror, shift, brightness."""

import torch

from aseptic.core.types import Images, Targets
from aseptic.models.train_config import TrainConfig


def augment(
    images: Images, config: TrainConfig, rng: torch.Generator, masks: Targets | None = None
) -> tuple[Images, Targets | None]:
    """Return changed copies; every image has its own draw, made on the CPU. Masks move with their images.

    Args:
        images: Images in [0, 1].
        config: Says how large the changes are; 0 and False leave images as they are.
        rng: Stream of the epoch.
        masks: The class of every place, of the images' own size; None for targets that a mirror or shift leaves alone.
    """
    count, rank, found, moved = len(images), images.ndim, images, masks
    if config.flip:
        mirrored = torch.rand(count, generator=rng) < 0.5  # noqa: PLR2004 - one image in two
        where = mirrored.to(images.device)
        found = torch.where(where.reshape(-1, *(1,) * (rank - 1)), found.flip(-1), found)
        moved = None if moved is None else torch.where(where.reshape(-1, *(1,) * (rank - 2)), moved.flip(-1), moved)
    for axis in range(2, rank):
        length = images.shape[axis]
        if reach := round(config.shift * length):
            moves = torch.randint(-reach, reach + 1, (count, 1), generator=rng)
            # the edge is repeated where the image has moved away from it
            index = (torch.arange(length) - moves).clamp(0, length - 1).to(images.device)
            shape = [count if at == 0 else length if at == axis else 1 for at in range(rank)]
            index = index.reshape(shape)
            found = found.gather(axis, index.expand_as(found))
            moved = None if moved is None else moved.gather(axis - 1, index[:, 0].expand_as(moved))
    if config.brightness:
        added = config.brightness * (2 * torch.rand(count, generator=rng) - 1)
        found = (found + added.to(images).reshape(-1, *(1,) * (rank - 1))).clamp(0, 1)
    return found, moved
