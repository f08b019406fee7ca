"""One adversarial patch for all images (Brown et al., 2017): learned once, put on any image."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar, Literal

import torch
from pydantic import JsonValue
from torch import Tensor

from aseptic.attacks.base import Batch, Counted, EvasionAttack, Threat
from aseptic.attacks.learning import Course, as_models, check_learned, learn, read_learned, write_learned
from aseptic.core.errors import InputError
from aseptic.core.rng import stream
from aseptic.core.types import Images, Number
from aseptic.models.subject import Subject
from aseptic.ops.draws import uniforms
from aseptic.ops.windows import Window, put, window_corners, window_index

KIND = "patch"
PLACES = ("centre", "corner", "random")


@dataclass(frozen=True, kw_only=True, eq=False)
class Sticker(EvasionAttack):
    r"""Put one stored patch on every image: :math:`x'_W = p`, and :math:`x' = x` outside the window ``W``.

    It comes from `train_sticker` or from a file; it asks nothing of the model that it is used against.

    Paper: https://arxiv.org/abs/1712.09665, section 2.
    Departs from it: any goal; neither turned nor scaled.
    Blind to: everything about the single image, and what would be the best place on it.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "decisions"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "detection")
    norms: ClassVar[tuple[str, ...]] = ("window",)

    patch: Tensor = field(repr=False)
    """What is put on images, ``[channel, *space]``, in [0, 1]."""
    place: str = "random"
    """Where: in the ``centre``, in the first ``corner``, or at a ``random`` place for each image."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """How it was learned."""

    def __post_init__(self) -> None:
        """Check the patch and the place."""
        check_learned(KIND, self.patch)
        if not ((self.patch >= 0) & (self.patch <= 1)).all():
            low, high = self.patch.aminmax()
            raise InputError(f"a patch must lie in [0, 1], got [{low:g}, {high:g}]")
        _check_place(self.place)

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the images with the patch.

        Raises:
            InputError: The patch is larger than the window of the budget, or has other channels or axes.
        """
        del model
        images, budget = batch.images, batch.threat.budget
        sides, window = self.patch.shape[1:], Window(budget.radius).sides(images.shape[2:])
        if len(sides) != len(window) or self.patch.shape[0] != images.shape[1]:
            raise InputError(
                f"images must have the patch's channels and axes {[*self.patch.shape]}, got {[*images.shape[1:]]}"
            )
        if any(side > most for side, most in zip(sides, window, strict=True)):
            raise InputError(f"the patch must fit into the window {[*window]} of the budget, got {[*sides]}")
        return _stamped(self.patch.to(images), images, batch.rng, self.place)

    def save(self, path: Path) -> None:
        """Write the patch, its place and its facts as safetensors."""
        write_learned(path, KIND, self.patch, {**self.facts, "place": self.place})

    @classmethod
    def load(cls, path: Path) -> "Sticker":
        """Return what `save` wrote.

        Raises:
            InputError: The file is absent or damaged, or holds something else.
        """
        patch, facts = read_learned(path, KIND)
        return cls(patch=patch, place=str(facts.get("place")), facts=facts)


def train_sticker(  # noqa: PLR0913 - what is learned, from what, how; by keyword
    models: Subject | Sequence[Subject],
    images: Tensor,
    targets: Tensor,
    threat: Threat,
    *,
    place: str = "random",
    epochs: int = 30,
    step: Number = 0.05,
    batch_size: int = 16,
    clip: Number = 9.0,
    restarts: int = 5,
    seed: int = 0,
) -> Sticker:
    r"""Repeat :math:`p \leftarrow \Pi_{[0, 1]}(p + a\, \mathrm{sign}(\nabla_p \mathrm{E}\, J))` from mid-grey.

    The expectation is over the images and, with random places, over a new place for each image in each epoch. The
    images may come from another source than those that it is used on; several models share the patch.

    Paper: https://arxiv.org/abs/1712.09665, section 2.
    Departs from it: any goal; steps of the sign; the objective is clipped; neither turned nor scaled.

    Args:
        models: What it is learned on; the same afterwards as before.
        images: float32 ``[N, channel, *space]`` in [0, 1]; those that the goal does not apply to are left out.
        targets: True classes or findings.
        threat: Goal, and a `aseptic.ops.windows.Window` that the patch fills.
        place: Where it lies: ``centre``, ``corner`` or ``random``.
        epochs: Passes over the images.
        step: Length ``a`` of one step, in image units.
        batch_size: Images behind one step.
        clip: Objective above which an image counts no more.
        restarts: Times that it is learned, from mid-grey, then from random beginnings; what fools most images is kept.
        seed: Root of all randomness.

    Raises:
        InputError: The budget is no window or holds no value; images, targets, goal or settings do not fit each
            other or the models; or no image is eligible.
    """
    _check_place(place)
    if not isinstance(threat.budget, Window):
        raise InputError(f"a sticker is learned in a window, got a budget in {threat.budget.norm}")
    sides = threat.budget.sides(images.shape[2:])
    if 0 in sides:
        raise InputError(f"the window must hold a value, got sides {[*sides]} of {[*images.shape[2:]]}")

    def begin(restart: int) -> Tensor:
        grey = images.new_full((images.shape[1], *sides), 0.5)
        return uniforms([stream(seed, "begin", restart)], grey.shape, grey[None])[0] if restart else grey

    def stamp(patch: Tensor, shown: Images, rng: Sequence[torch.Generator]) -> Images:
        return _stamped(patch, shown, rng, place)

    def move(patch: Tensor, gradient: Tensor) -> Tensor:
        return (patch + step * gradient.sign()).clamp(0, 1)

    course = Course(epochs=epochs, step=step, batch_size=batch_size, clip=clip, restarts=restarts, seed=seed)
    patch, facts = learn(as_models(models), images, targets, threat, begin=begin, stamp=stamp, move=move, course=course)
    return Sticker(patch=patch.detach().cpu(), place=place, facts={**facts, "place": place})


def _stamped(patch: Tensor, images: Images, rng: Sequence[torch.Generator], place: str) -> Images:
    space, sides = images.shape[2:], patch.shape[1:]
    if place == "random":
        corners = window_corners(space, sides, uniforms(rng, (len(space),), images))
    else:
        middle = [(length - side) // 2 for length, side in zip(space, sides, strict=True)]
        first = middle if place == "centre" else [0] * len(space)
        corners = torch.tensor(first, device=images.device).expand(len(images), -1)
    return put(images, window_index(space, sides, corners), patch.flatten(1))


def _check_place(place: str) -> None:
    if place not in PLACES:
        raise InputError(f"place must be one of {', '.join(PLACES)}; got {place!r}")
