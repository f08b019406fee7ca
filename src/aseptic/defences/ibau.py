"""I-BAU: the model unlearns the one change of images that fools it most, by implicit gradients (Zeng et al., 2022)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.types import Images, Number, Targets
from aseptic.data.imageset import ImageSet
from aseptic.defences.base import Defence, Watch, check_course, lessons, place, turns
from aseptic.models.subject import Subject

TINY = 1e-12
"""Norm below which a gradient is none."""


@dataclass(frozen=True, kw_only=True)
class IBAU(Defence):
    r"""Solve :math:`\min_\theta \max_{\lVert \delta \rVert \le r} \frac1n \sum_i L(f_\theta(x_i + \delta), y_i)`.

    In every round one perturbation :math:`\delta` for all clean images is learned by ascent. Then the weights take a
    step on each batch, whose gradient counts that :math:`\delta` would move with them: with a step of ascent
    :math:`\Phi(\delta, \theta) = \delta + \eta \nabla_\delta L`, it is :math:`\partial_\theta E + (\partial_\theta
    \Phi)^\top v` where :math:`v = (\partial_\delta \Phi)^\top v + \partial_\delta E` is iterated ``fixed_point`` times.

    Paper: https://arxiv.org/abs/2110.03735, section 3, algorithm 1.
    Departs from it: the length of :math:`\delta` is its root mean square in image units, so that images of any size
    compare; it is learned on random batches, with steps of one length; perturbed images stay in [0, 1]; running
    statistics stay as they are; the loss is the task's own.
    Blind to: triggers that are no fixed change of all images (warps, one for each image); those larger than ``radius``.
    """

    rounds: int = 5
    """Rounds of ascent and descent."""
    inner: int = 20
    """Steps of ascent in each round."""
    radius: Number = 0.1
    """Largest root mean square of the perturbation, in image units."""
    perturbed: Number = 0.5
    """Share of the images of a batch that the perturbation is added to when the weights learn, in (0, 1]."""
    fixed_point: int = 5
    """Iterations of the implicit gradient; 0 takes the perturbation as given."""
    eta: Number = 0.1
    """Step of ascent that the implicit gradient is about."""
    lr: Number = 1e-3
    """Learning rate of the weights (Adam)."""
    batch_size: int = 64
    """Clean images in one step."""

    def __post_init__(self) -> None:
        """Check the domains."""
        check_course(batch_size=self.batch_size, lr=self.lr, rounds=self.rounds, inner=self.inner)
        if self.fixed_point < 0:
            raise InputError(f"fixed_point must be at least 0, got {self.fixed_point}")
        for name in ("radius", "eta"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(f"{name} must be greater than 0, got {getattr(self, name):g}")
        if not 0 < self.perturbed <= 1:
            raise InputError(f"perturbed must lie in (0, 1], got {self.perturbed:g}")

    def mend(self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch) -> None:
        """Let the copy unlearn."""
        steps = turns(clean, self.batch_size)
        optimiser = torch.optim.Adam([value for value in subject.parameters() if value.requires_grad], lr=self.lr)
        for turn in range(self.rounds):
            found = self.worst(subject, clean, seed=seed, turn=turn)
            batches = lessons(
                subject, clean, batch_size=self.batch_size, seed=seed, name=f"unlearn {turn}", steps=steps
            )
            for step, (images, targets) in enumerate(batches):
                optimiser.zero_grad()
                self.implicit(subject, images, targets, found)
                optimiser.step()
                watch(turn * steps + step + 1, self.rounds * steps)

    def worst(self, subject: Subject, clean: ImageSet, *, seed: int, turn: int) -> Tensor:
        """Return one perturbation, ``[1, channel, *space]``, that raises the loss of clean images as far as it can."""
        found = torch.zeros_like(clean.shown(0)[None]).to(place(subject))
        batches = lessons(
            subject, clean, batch_size=self.batch_size, seed=seed, name=f"ascend {turn}", steps=self.inner
        )
        for images, targets in batches:
            leaf = found.detach().requires_grad_()
            (uphill,) = torch.autograd.grad(_loss(subject, images + leaf, targets), leaf)
            step = 2 * self._length(uphill) / self.inner / max(float(uphill.norm()), TINY)
            moved = leaf.detach() + step * uphill
            found = moved * min(1.0, self._length(moved) / max(float(moved.norm()), TINY))
        return found

    def implicit(self, subject: Subject, images: Images, targets: Targets, found: Tensor) -> None:
        """Put the gradient of every weight where an optimiser looks for it."""
        weights = [value for value in subject.parameters() if value.requires_grad]
        leaf = found.detach().clone().requires_grad_()
        some = torch.zeros(len(images), *(1,) * (images.ndim - 1)).to(images)
        some[: math.ceil(self.perturbed * len(images))] = 1
        direct = torch.autograd.grad(_loss(subject, images + some * leaf, targets), [leaf, *weights], allow_unused=True)
        through: tuple[Tensor | None, ...] = (None,) * len(weights)
        if self.fixed_point:
            (uphill,) = torch.autograd.grad(_loss(subject, images + leaf, targets), leaf, create_graph=True)
            moving = adjoint = _or_zero(direct[0], leaf)
            for _ in range(self.fixed_point):
                (bent,) = torch.autograd.grad(uphill, leaf, moving, retain_graph=True, allow_unused=True)
                moving = adjoint + moving + self.eta * _or_zero(bent, leaf)
            through = torch.autograd.grad(uphill, weights, self.eta * moving, allow_unused=True)
        for value, slope, more in zip(weights, direct[1:], through, strict=True):
            value.grad = _or_zero(slope, value) + _or_zero(more, value)

    def _length(self, like: Tensor) -> float:
        """Return the largest norm of the perturbation."""
        return float(self.radius) * math.sqrt(like.numel())


def _loss(subject: Subject, images: Images, targets: Targets) -> Tensor:
    return subject.task.loss(subject(images.clamp(0, 1)), targets).mean()


def _or_zero(value: Tensor | None, like: Tensor) -> Tensor:
    return torch.zeros_like(like) if value is None else value
