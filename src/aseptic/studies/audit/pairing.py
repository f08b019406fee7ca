"""A model and a data set that fit each other: classes by name, size and channels of the model."""

from collections import Counter
from dataclasses import dataclass

from aseptic.core.errors import InputError
from aseptic.core.types import Targets
from aseptic.data.imageset import ImageSet
from aseptic.models.subject import Subject
from aseptic.studies.facts import model_key
from aseptic.studies.yardsticks.catalogue import yardstick_of

LOOKED = 32
"""Images that are looked at to learn what the set is made of."""


@dataclass(frozen=True, kw_only=True)
class Pair:
    """What is audited on what."""

    subject: Subject
    data: ImageSet
    """The images that are used, at the model's size, every one of them readable."""
    targets: Targets | None
    """In the model's order of classes; None where the data has no labels."""
    offered: int
    """Images and unreadable files that the data set offered."""

    @property
    def model_key(self) -> str:
        """Content hash of everything that the model's answers depend on."""
        return model_key(self.subject)


def pair(subject: Subject, data: ImageSet, *, max_bad: int | None = None) -> Pair:
    """Match classes, fit the images to the model and keep the readable ones.

    Raises:
        InputError: The data is of another task, has a class that the model lacks, no image can be read, or more files
            than ``max_bad`` cannot.
    """
    looked = range(min(len(data), LOOKED))
    if subject.spec.size is None and len({data.read(index).pixels.shape for index in looked}) > 1:
        raise InputError("size must be given: the images are of several sizes and the model does not say its own")
    fitted = readable(data.fit(subject.spec.size, _channels(subject, data)), max_bad=max_bad)
    offered = len(data) + len(data.unreadable)
    return Pair(subject=subject, data=fitted, targets=yardstick_of(subject.task).targets(fitted), offered=offered)


def readable(data: ImageSet, *, max_bad: int | None = None) -> ImageSet:
    """Return the images that can be read.

    Raises:
        InputError: There are none, or more files than ``max_bad`` cannot be read.
    """
    offered, found = len(data) + len(data.unreadable), data.verify()
    example = {one.reason: one.file for one in reversed(found.unreadable)}
    often = Counter(one.reason for one in found.unreadable).most_common(3)
    reasons = "; ".join(f"{example[reason]}: {reason} ({count} in all)" for reason, count in often)
    if max_bad is not None and len(found.unreadable) > max_bad:
        raise InputError(f"max_bad allows {max_bad} unreadable files, got {len(found.unreadable)}: {reasons}")
    if not len(found):
        raise InputError(f"data must hold at least one readable image, got none of {offered}. {reasons}".rstrip(". "))
    return found


def _channels(subject: Subject, data: ImageSet) -> int:
    """Grey images stay grey for a colour network, so that what is attacked can be stored as what it was."""
    for index in range(min(len(data), LOOKED)):
        try:
            found = data.read(index).pixels.shape[0]
        except InputError:
            continue
        if found != 1:
            return 3
    return 1 if subject.spec.channels in {1, 3} else subject.spec.channels
