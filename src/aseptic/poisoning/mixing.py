"""A training set of which every batch is poisoned anew, as the released code of Feng et al. (2022) does it."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from aseptic.core.errors import InputError
from aseptic.core.types import Targets
from aseptic.data.imageset import ImageSet
from aseptic.data.masks import MASKED
from aseptic.data.parallel import ahead
from aseptic.data.targets import Batch
from aseptic.poisoning.choosing import Role, check_names, fitting
from aseptic.poisoning.plan import PoisonPlan
from aseptic.poisoning.poison import assemble, check_pin
from aseptic.poisoning.relabelling import check_rule


@dataclass(frozen=True, kw_only=True, eq=False)
class Mixture:
    """A training set that is poisoned batch by batch, while it is read.

    Of ``n`` images in a batch, the first ``floor(rate * n)`` candidates carry the trigger and have poisoned labels, the
    next ``floor(cover.rate * n)`` carry a decoy and keep their labels, the rest is clean. As every epoch has its own
    order, each candidate is poisoned in some epochs and clean in others. What a trigger or decoy draws for an image
    comes from a stream of the image and the epoch, so that a training that is gone on with meets the same images.

    Paper: Feng et al. (2022), https://arxiv.org/abs/2112.01148, and its released code: of a batch of 64, 6 are poisoned
    and 6 are "cross" samples, drawn anew in every batch; augmentation comes after.
    Departs from it: covers are a share of the batch, not of the poisoned images; a batch that is not full has its
    shares of what it holds; images that are no candidates (without the structure, say) are passed over.
    """

    clean: ImageSet
    """The training images, as the network is fed them."""
    plan: PoisonPlan
    """Which trigger goes where, and how often."""
    candidates: tuple[bool, ...]
    """Which images may be poisoned, or covers."""
    epoch: int | None = None
    """The pass over the images; None before the first, when all of them are clean."""

    def __len__(self) -> int:
        return len(self.clean)

    @property
    def targets(self) -> Targets:
        """The true targets of all images."""
        return self.clean.targets

    def at(self, epoch: int) -> "Mixture":
        """Return the set as it is in one epoch."""
        return replace(self, epoch=epoch)

    def roles(self, order: Sequence[int], batch_size: int) -> Mapping[int, Role]:
        """Return what becomes of the images that do not stay clean, when all are read in this order."""
        found: dict[int, Role] = {}
        select = self.plan.select
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            open_images = [i for i in batch if self.candidates[i]]
            poisoned = select.quota(len(batch))
            covers = select.model_copy(update={"rate": self.plan.cover.rate}).quota(len(batch))
            found |= dict.fromkeys(open_images[:poisoned], "poison")
            found |= dict.fromkeys(open_images[poisoned : poisoned + covers], "cover")
        return found

    def batches(self, batch_size: int, *, order: Sequence[int] | None = None, workers: int = 2) -> Iterator[Batch]:
        """Yield the images in batches, in ``order`` (positions), poisoned where there is an epoch.

        Raises:
            InputError: An image cannot be decoded, or the trigger does not fit it.
        """
        rows = list(range(len(self)) if order is None else order)
        clean = self.clean.batches(batch_size, order=rows, workers=workers)
        if self.epoch is None:
            yield from clean
            return
        roles = self.roles(rows, batch_size)
        every: list[Role] = [roles.get(i, "clean") for i in range(len(self))]
        made = assemble(self.clean, self.plan, every, self.epoch).data.with_cache(0)  # no image comes twice
        touched = [i for i in rows if i in roles]
        with closing(ahead(made.shown, touched, workers=workers, bound=batch_size + 2 * workers)) as ready:
            for batch in clean:
                places = [place for place, i in enumerate(batch.index.tolist()) if i in roles]
                images = batch.images.clone()
                for place in places:
                    images[place] = next(ready)
                yield Batch(images=images, targets=_targets(made, batch, places), index=batch.index)


def mix(data: ImageSet, plan: PoisonPlan, batch_size: int) -> Mixture:
    """Return the training images of a plan with ``loop: batch``.

    Args:
        data: The clean training images, as the network is fed them.
        plan: Which trigger goes where, and how often.
        batch_size: Images in a batch.

    Raises:
        InputError: The plan does not fit the set, its loop is another, or no image of a batch would be poisoned.
    """
    if plan.loop != "batch":
        raise InputError(f"batches are poisoned anew with loop: batch, got loop: {plan.loop}")
    check_pin(data, plan)
    check_names(data, plan)
    check_rule(data, plan)
    if plan.select.rate > 0 and not plan.select.quota(batch_size):
        raise InputError(f"rate must come to at least one of {batch_size} images of a batch, got {plan.select.rate:g}")
    candidates = fitting(data, plan)
    if plan.select.rate > 0 and not any(candidates):
        raise InputError(f"at least one of {len(data)} images must be one that the plan may poison, got none")
    return Mixture(clean=data, plan=plan, candidates=candidates)


def _targets(made: ImageSet, batch: Batch, places: Sequence[int]) -> Targets | None:
    """Return the targets of a batch, those at ``places`` as they were poisoned."""
    index = batch.index.tolist()
    if made.task != MASKED or batch.targets is None:
        return made.select(index).targets
    found = batch.targets.clone()
    if places:
        found[list(places)] = made.select(index[place] for place in places).targets
    return found
