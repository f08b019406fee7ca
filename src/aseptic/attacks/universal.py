"""One perturbation for all images (Moosavi-Dezfooli et al., 2017), learned by ascent (Shafahi et al., 2020)."""

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

KIND = "perturbation"


@dataclass(frozen=True, kw_only=True, eq=False)
class Universal(EvasionAttack):
    r"""Add one stored perturbation to every image: :math:`\Pi_{[0, 1]}(x + \Pi_B(\delta))`.

    It comes from `train_universal` or from a file; it asks nothing of the model that it is used against.

    Paper: https://arxiv.org/abs/1610.08401; for medical images Hirano et al., 2021, doi:10.1186/s12880-020-00530-y.
    Departs from it: brought into the threat's budget, which may be smaller than the one that it was learned in.
    Blind to: everything about the single image.
    """

    needs: ClassVar[Literal["gradients", "scores", "decisions"]] = "decisions"
    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "detection")

    perturbation: Tensor = field(repr=False)
    """What is added, ``[channel, *space]``, in image units."""
    facts: Mapping[str, JsonValue] = field(default_factory=dict)
    """How it was learned."""

    def __post_init__(self) -> None:
        """Check the perturbation."""
        check_learned(KIND, self.perturbation)

    def perturb(self, model: Counted, batch: Batch) -> Images:
        """Return the images with the perturbation.

        Raises:
            InputError: The images have another size or other channels than the perturbation.
        """
        del model
        images, budget = batch.images, batch.threat.budget
        if images.shape[1:] != self.perturbation.shape:
            raise InputError(
                f"images must be of the perturbation's size {[*self.perturbation.shape]}, got {[*images.shape[1:]]}; "
                f"resize the images, or learn a perturbation of their size"
            )
        delta = budget.project(self.perturbation.to(images)[None])
        return (images + delta).clamp(0, 1)

    def save(self, path: Path) -> None:
        """Write the perturbation and its facts as safetensors."""
        write_learned(path, KIND, self.perturbation, self.facts)

    @classmethod
    def load(cls, path: Path) -> "Universal":
        """Return what `save` wrote.

        Raises:
            InputError: The file is absent or damaged, or holds something else.
        """
        perturbation, facts = read_learned(path, KIND)
        return cls(perturbation=perturbation, facts=facts)


def train_universal(  # noqa: PLR0913 - what is learned, from what, how; by keyword
    models: Subject | Sequence[Subject],
    images: Tensor,
    targets: Tensor,
    threat: Threat,
    *,
    epochs: int = 15,
    step: Number = 0.1,
    batch_size: int = 16,
    clip: Number = 9.0,
    restarts: int = 5,
    seed: int = 0,
) -> Universal:
    r"""Repeat :math:`\delta \leftarrow \Pi_B(\delta + a\, u(\nabla_\delta \frac1n \sum_i \min(J(x_i + \delta), c)))`.

    A few hundred images are enough, and they may come from another source than those that it is used on. With a goal
    like ``Reach`` it drives every image to one class. Several models share the perturbation (and the blame).

    Paper: Shafahi et al., 2020, https://arxiv.org/abs/1811.11304 (stochastic ascent of the clipped loss); Hirano et
    al., 2021, doi:10.1186/s12880-020-00530-y, reach a class on medical images.
    Departs from it: any goal; any norm, by its steepest direction.

    Args:
        models: What it is learned on; the same afterwards as before.
        images: float32 ``[N, channel, *space]`` in [0, 1]; those that the goal does not apply to are left out.
        targets: True classes or findings.
        threat: Goal and budget.
        epochs: Passes over the images.
        step: Length ``a`` of one step, as a fraction of the radius.
        batch_size: Images behind one step.
        clip: Objective ``c`` above which an image counts no more.
        restarts: Times that it is learned, from nothing, then from random beginnings; what fools most images is kept.
        seed: Root of all randomness.

    Raises:
        InputError: Images, targets, goal or settings do not fit each other or the models; or no image is eligible.
    """
    budget = threat.budget

    def begin(restart: int) -> Tensor:
        nothing = images.new_zeros(images.shape[1:])
        return budget.sample(nothing[None], stream(seed, "begin", restart))[0] if restart else nothing

    def stamp(delta: Tensor, shown: Images, rng: Sequence[torch.Generator]) -> Images:
        del rng
        return (shown + delta).clamp(0, 1)

    def move(delta: Tensor, gradient: Tensor) -> Tensor:
        return budget.project((delta + step * budget.radius * budget.steepest(gradient[None])[0])[None])[0]

    course = Course(epochs=epochs, step=step, batch_size=batch_size, clip=clip, restarts=restarts, seed=seed)
    delta, facts = learn(as_models(models), images, targets, threat, begin=begin, stamp=stamp, move=move, course=course)
    return Universal(perturbation=delta.detach().cpu(), facts=facts)
