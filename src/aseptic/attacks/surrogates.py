"""Several networks as one: what is attacked where the audited network itself is not at hand."""

from collections.abc import Sequence
from dataclasses import replace

from torch import nn

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Logits
from aseptic.models.subject import Subject


class SurrogateEnsemble(nn.Module):
    """The mean of the members' logits, images in [0, 1] in; each member prepares the images for itself."""

    def __init__(self, members: Sequence[Subject]) -> None:
        """Keep the members as they are; use `ensemble`, which checks them."""
        super().__init__()
        self.networks = nn.ModuleList(members)
        self.training = any(member.training for member in members)

    @property
    def members(self) -> tuple[Subject, ...]:
        """Return the networks whose logits are averaged."""
        return tuple(one for one in self.networks if isinstance(one, Subject))

    def forward(self, images: Images) -> Logits:
        """Return the mean logits."""
        first, *others = self.members
        total: Logits = first(images)
        for member in others:
            total = total + member(images)
        return total / len(self.members)


def ensemble(members: Sequence[Subject], name: str = "ensemble") -> Subject:
    """Return the members as one model with their mean logits, for any attack; the operating point is their mean too.

    Args:
        members: Networks of one task with the same classes in the same order, on one device.
        name: What reports call it.

    Raises:
        InputError: There are no members, or they answer different questions.
    """
    if not members:
        raise InputError("members must be at least 1 model, got 0")
    first = members[0]
    for other in members[1:]:
        if (other.task.name, other.task.classes) != (first.task.name, first.task.classes):
            raise InputError(
                f"members must have one task and the same classes in the same order, got {_question(first)} "
                f"and {_question(other)}"
            )
    count = len(first.task.classes)
    points = [member.task.offsets or (0.0,) * count for member in members]
    offsets = tuple(sum(column) / len(members) for column in zip(*points, strict=True))
    task = replace(first.task, offsets=offsets if any(member.task.offsets for member in members) else ())
    channels = max(member.spec.channels for member in members)
    return Subject(SurrogateEnsemble(members), task=task, channels=channels, name=name)


def members_of(model: Subject) -> tuple[Subject, ...]:
    """Return the members of an ensemble, or the model itself as the only one."""
    return model.module.members if isinstance(model.module, SurrogateEnsemble) else (model,)


def _question(model: Subject) -> str:
    return f"{model.name!r} ({model.task.name}: {', '.join(model.task.classes)})"
