"""A set of labelled images, read when they are needed."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from aseptic.core.canon import content_key
from aseptic.core.errors import InputError, nearest
from aseptic.core.types import Image, Images, Targets
from aseptic.data.base import Item, Loaded, Unreadable
from aseptic.data.cache import Cache
from aseptic.data.masks import MASKED, check_numbers, fit_mask, stack_masks
from aseptic.data.parallel import WORKERS, ahead
from aseptic.data.sources import Source
from aseptic.data.targets import Batch, box_reason, has_targets, stack_targets
from aseptic.ops.crops import Crop
from aseptic.ops.images import SAMPLINGS, adapt_channels, check_sampling, resize


@dataclass(frozen=True, kw_only=True, eq=False)
class ImageSet:
    """Images with labels, patients, masks and boxes where known. Nothing is read before it is asked for."""

    name: str
    """What the set is called."""
    task: str | None
    """``multiclass``, ``multilabel``, ``segmentation``, ``detection``, or None for images without labels."""
    classes: tuple[str, ...]
    """Names of classes, findings, structures or objects."""
    items: tuple[Item, ...]
    """The images, in a fixed order; their ids are distinct."""
    source: Source
    """Where the pixels are."""
    unreadable: tuple[Unreadable, ...] = ()
    """Files that were kept out, and why."""
    notes: tuple[str, ...] = ()
    """Sentences that a report must show."""
    size: tuple[int, ...] | None = None
    """Space axes that images are resized to; None leaves each at its own."""
    channels: int | None = None
    """Channels that images are adapted to; None leaves each with its own."""
    crop: Crop | None = None
    """What is kept of images and masks before they are resized; None keeps all."""
    sampling: str = SAMPLINGS[0]
    """How images are resized, as `aseptic.ops.images.resize` has it; masks always by the nearest place."""
    cache: Cache = field(default_factory=Cache, repr=False)
    """Decoded images, shared by all views of the set."""

    def __post_init__(self) -> None:
        """Refuse ids that are not distinct."""
        twice = next((name for name, count in Counter(self.ids).items() if count > 1), None)
        if twice is not None:
            raise InputError(f"ids must be distinct, got {twice!r} twice")

    def __len__(self) -> int:
        return len(self.items)

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(item.id for item in self.items)

    @property
    def patients(self) -> tuple[str | None, ...]:
        """Pseudonyms of the patients in order; None where unknown."""
        return tuple(item.patient for item in self.items)

    @property
    def targets(self) -> Targets:
        """Class numbers, findings with NaN for unknown, masks ``int64 [image, *space]``, or objects, as the view is.

        Objects are ``float32 [image, object, 5]``: label (-1: none), left, top, right, bottom in pixels.

        Raises:
            InputError: The task has no such targets, an image has no label or mask, or masks differ in size.
        """
        if self.task == MASKED:
            return self._masks(range(len(self)))
        return stack_targets(self.items, self.task, len(self.classes), self.size)

    @property
    def images(self) -> Images:
        """All images, stacked.

        Raises:
            InputError: They differ in shape, or there are none.
        """
        if not self.items:
            raise InputError(f"{self.name} has no images")
        return next(self.batches(len(self))).images

    def read(self, i: int) -> Loaded:
        """Return image ``i`` at its own size, with what its numbers mean.

        Raises:
            InputError: It cannot be decoded; the message names the image by its id.
        """
        try:
            return self.source.read(self.items[i])
        except InputError as error:
            raise InputError(f"{self.items[i].id}: {error}") from error

    def mask(self, i: int) -> Int[Tensor, "*space"]:
        """Return the mask of image ``i`` (0 = outside), at the crop and the size of the view.

        Raises:
            InputError: There is none, or it cannot be decoded.
        """
        mask = self.source.mask(self.items[i])
        return fit_mask(mask if self.crop is None else mask[self.crop.box(mask.shape)], self.size)

    def fit(
        self,
        size: Sequence[int] | None = None,
        channels: int | None = None,
        *,
        crop: Crop | None = None,
        sampling: str | None = None,
    ) -> "ImageSet":
        """Return a view whose images are cropped, then resized, and have these channels; None keeps what the view has.

        Raises:
            InputError: The sampling is unknown, or objects are to be cropped: their boxes are in the whole image.
        """
        check_sampling(self.sampling if sampling is None else sampling)
        if crop is not None and self.task == "detection":
            raise InputError(f"a set of objects cannot be cropped, and {self.name} is one")
        return replace(
            self,
            size=self.size if size is None else tuple(size),
            channels=self.channels if channels is None else channels,
            crop=self.crop if crop is None else crop,
            sampling=self.sampling if sampling is None else sampling,
        )

    def select(self, indices: Iterable[int]) -> "ImageSet":
        """Return a view of the images at these positions, in this order."""
        return replace(self, items=tuple(self.items[int(i)] for i in indices))

    def split(self, name: str) -> "ImageSet":
        """Return a view of one split, and of the unreadable files that are not known to be of another.

        Raises:
            InputError: There is no such split; the message names those that there are.
        """
        found = sorted({item.split for item in self.items if item.split})
        if name not in found:
            allowed = f"one of {', '.join(found)}" if found else "left out, because the data set has no splits"
            raise InputError(f"split must be {allowed}; got {name!r}{nearest(name, found)}")
        view = self.select(i for i, item in enumerate(self.items) if item.split == name)
        return replace(view, unreadable=tuple(one for one in self.unreadable if one.split in {None, name}))

    def with_cache(self, limit: int) -> "ImageSet":
        """Return a view with its own cache of at most ``limit`` bytes."""
        return replace(self, cache=Cache(limit))

    def batches(self, batch_size: int, *, order: Iterable[int] | None = None, workers: int = 2) -> Iterator[Batch]:
        """Yield the images in batches, in ``order`` (positions; default: all, as they are), read ahead in threads.

        Raises:
            InputError: An image cannot be decoded (see `verify`), or shapes differ within a batch.
        """
        if batch_size < 1:
            raise InputError(f"batch_size must be at least 1, got {batch_size}")
        indices = [int(i) for i in (range(len(self)) if order is None else order)]
        targets = self.targets if has_targets(self.task) else None
        ready = ahead(self.shown, indices, workers=workers, bound=batch_size + 2 * workers)
        with closing(ready):
            for start in range(0, len(indices), batch_size):
                index = torch.tensor(indices[start : start + batch_size], dtype=torch.long)
                images = self._stack([next(ready) for _ in index])
                truth = self._masks(index.tolist()) if self.task == MASKED else None
                yield Batch(images=images, targets=truth if targets is None else targets[index], index=index)

    def verify(self, workers: int = WORKERS) -> "ImageSet":
        """Decode every image and mask once; keep those that can be, and list the others with their reasons."""
        reasons = list(ahead(self._reason, range(len(self)), workers=workers, bound=4 * WORKERS))
        bad = tuple(
            Unreadable(file=self.source.name(item), reason=reason)
            for item, reason in zip(self.items, reasons, strict=True)
            if reason
        )
        good = self.select(i for i, reason in enumerate(reasons) if not reason)
        return replace(good, unreadable=self.unreadable + bad)

    def fingerprint(self) -> str:
        """Return the SHA-256 of everything that the images and targets of this view depend on."""
        digests = ahead(self.source.digest, self.items, workers=WORKERS, bound=4 * WORKERS)
        content = [
            [item.id, repr(item.label), item.patient, item.split, repr(item.boxes), digest]
            for item, digest in zip(self.items, digests, strict=True)
        ]
        view = {"task": self.task, "classes": self.classes, "size": self.size, "channels": self.channels}
        crop = None if self.crop is None else asdict(self.crop)
        return content_key(view | {"crop": crop, "sampling": self.sampling, "content": content})

    def write(self, i: int, pixels: Image, folder: Path, note: str) -> Path:
        """Write ``pixels`` as a derived copy of image ``i`` in its own format, below ``folder``; return the path.

        Raises:
            InputError: The pixels are not of the shape of `read`, or leave [0, 1].
        """
        return self.source.write(self.items[i], pixels, folder, note)

    def copy(self, i: int, folder: Path) -> Path:
        """Put image ``i``, unchanged, below ``folder``; return the path."""
        return self.source.copy(self.items[i], folder)

    def write_mask(self, i: int, folder: Path) -> Path:
        """Write the mask of image ``i`` unchanged, below ``folder``; return the path, or raise where there is none."""
        return self.source.write_mask(self.items[i], folder)

    def reread(self, i: int, path: Path) -> Loaded:
        """Return what `write` has stored of image ``i`` at ``path``, read as the image itself is read.

        Raises:
            InputError: It cannot be decoded.
        """
        return self.source.reread(self.items[i], path)

    def shown(self, i: int) -> Image:
        """Return image ``i`` as the view shows it: cropped, resized, adapted. It is shared; never write to it.

        Raises:
            InputError: It cannot be decoded, or not be shown so.
        """
        key = (self.items[i].id, self.size, self.channels, self.crop, self.sampling)
        if (found := self.cache.get(key)) is not None:
            return found
        images = self.read(i).pixels[None]
        try:
            if self.channels is not None:
                images = adapt_channels(images, self.channels)
            if self.crop is not None:
                images = self.crop.apply(images).clone()  # the cache keeps what is shown, not the whole image
            if self.size is not None:
                images = resize(images, self.size, self.sampling).clamp(0, 1)
        except InputError as error:
            raise InputError(f"{self.items[i].id}: {error}") from error
        self.cache.put(key, images[0])
        return images[0]

    def _masks(self, rows: Iterable[int]) -> Int[Tensor, "image *space"]:
        """Return masks, stacked; those that were decoded before come from the cache."""
        found = []
        for i in rows:
            key = (self.items[i].id, "mask", self.size, self.crop)
            if (mask := self.cache.get(key)) is None:
                mask = check_numbers(self.mask(i), self.items[i].id, self.classes)
                self.cache.put(key, mask)
            found.append(mask)
        return stack_masks(found, self.size)

    def _reason(self, i: int) -> str:
        """Return why image ``i``, its mask or its boxes cannot be used, or nothing."""
        item = self.items[i]
        if self.task == "detection" and (reason := box_reason(item, len(self.classes))):
            return reason
        try:
            self.shown(i)
            if item.mask is not None or self.task == MASKED:
                stored, seen = tuple(self.source.mask(item).shape), tuple(self.read(i).pixels.shape[1:])
                if stored != seen:
                    return f"the mask must have the image's size {list(seen)}, got {list(stored)}"
        except InputError as error:
            return str(error).removeprefix(item.id).lstrip(": ")
        return ""

    def _stack(self, images: list[Image]) -> Images:
        shapes = sorted({tuple(image.shape) for image in images})
        if len(shapes) > 1:
            first, second = (list(shape) for shape in shapes[:2])
            raise InputError(f"images must have one shape, got {first} and {second}; give `size` and `channels`")
        return torch.stack(images)
