"""What every scanner of models is, and what it returns: one score for each output, and what it recovered."""

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import ClassVar, final

import torch
from jaxtyping import Float
from pydantic import JsonValue
from torch import Tensor

from aseptic.attacks.base import Counted
from aseptic.attacks.checks import check_images
from aseptic.attacks.running import Cost
from aseptic.core.errors import InputError
from aseptic.core.types import Images
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject
from aseptic.scanners.aims import check_served

Scores = Float[Tensor, " output"]
"""One number for each output; NaN for those that could not be looked at."""
LEAST_OUTPUTS = 4
"""Fewest outputs whose deviations from their median say anything."""
NORMAL = 1.4826
"""Standard deviation of a normal distribution over its median absolute deviation."""


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a scan is."""

    done: int
    """Rounds or steps that are finished."""
    of: int
    """The most that there can be."""
    left: int
    """Outputs that are still worked on."""


Watch = Callable[[Progress], None]
"""Told after every round; must not raise."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Found:
    """What a search recovered, output by output."""

    scores: Scores
    """Higher is more suspicious."""
    reached: Scores
    """Share of the images, or of the starts, that are decided as the output with what was recovered."""
    masks: Float[Tensor, "output *space"]
    """How much of each place the trigger covers or changes, in [0, 1]."""
    pictures: Float[Tensor, "output channel *space"]
    """The trigger as a picture, in [0, 1]."""
    notes: tuple[str, ...] = ()
    """What could not be looked at, in sentences."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelScan(Found):
    """What a scan found; on the CPU."""

    scanner: dict[str, JsonValue]
    """Name and settings of the scanner; scans are compared only where they are equal."""
    outputs: tuple[str, ...]
    """Names of the outputs."""
    statistic: float
    """One number for the model; higher is more suspicious. What it means, only clean twins can tell."""
    target: int
    """The most suspicious output."""
    index: Scores
    """Deviation of each score from the median, in median absolute deviations; NaN where that means nothing."""
    cost: Cost
    """What the scan asked of the model."""

    def told(self) -> dict[str, JsonValue]:
        """Return everything but the pictures, as JSON."""
        return {
            "scanner": self.scanner,
            "outputs": list(self.outputs),
            "statistic": self.statistic,
            "target": self.outputs[self.target],
            "scores": _numbers(self.scores),
            "index": _numbers(self.index),
            "reached": _numbers(self.reached),
            "forwards": self.cost.forwards,
            "backwards": self.cost.backwards,
            "seconds": self.cost.seconds,
            "notes": list(self.notes),
        }


@dataclass(frozen=True, kw_only=True)
class ModelScanner(ABC):
    """A way to look for a backdoor in a model; its fields are search settings."""

    name: ClassVar[str]
    """Name in the catalogue."""
    needs_images: ClassVar[bool]
    """Whether it needs clean images, or nothing but their shape."""

    @abstractmethod
    def search(self, model: Counted, images: Images, *, seed: int, watch: Watch) -> Found:
        """Return what was recovered for each output.

        Args:
            model: In evaluation mode, with frozen parameters.
            images: Clean images, where the model is.
            seed: Root of all randomness; streams are named by the outputs, so that their order does not matter.
            watch: Told after every round.
        """

    def statistic(self, scores: Scores) -> float:
        """Return the number by which models are compared: the score of the most suspicious output.

        Args:
            scores: Those that are known, at least one.
        """
        return float(scores.max())

    def describe(self) -> dict[str, JsonValue]:
        """Return the name and every setting."""
        return {"name": self.name, **asdict(self)}

    @final
    def scan(self, subject: Subject, images: Images, *, seed: int = 0, watch: Watch | None = None) -> ModelScan:
        """Look for a backdoor; the model is the same afterwards as before.

        Args:
            subject: The model.
            images: Clean images, float32 ``[N, channel, *space]`` in [0, 1], not those that it was trained on; scanners
                that need no data take their shape alone, and ``N`` may be 0.
            seed: Root of all randomness; the same seed gives the same scan.
            watch: Told how far it is.

        Raises:
            InputError: The model answers places or objects, which have no one output that an image could be driven to;
                there are no images, or every one of them is decided as every output already.
            ContractError: The model was changed.
        """
        check_served(subject.task)
        check_images(images, [str(row) for row in range(len(images))])
        if self.needs_images and len(images) == 0:
            raise InputError(f"{self.name} needs clean images, got none")
        device = next(subject.parameters(), images).device
        counted, clock = Counted(subject), time.perf_counter()
        with untouched(subject), torch.no_grad():
            found = self.search(counted, images.to(device), seed=seed, watch=watch or (lambda _: None))
        seconds = time.perf_counter() - clock
        scores = found.scores.cpu()
        if not (known := ~scores.isnan()).any():
            raise InputError("images must be decided otherwise than some output, got none that is")
        outputs, count = subject.task.classes, int(known.sum())
        few = () if count >= LEAST_OUTPUTS else (_few(count),)
        return ModelScan(
            scores=scores,
            reached=found.reached.cpu(),
            masks=found.masks.cpu(),
            pictures=found.pictures.cpu(),
            notes=(*found.notes, *few),
            scanner=self.describe(),
            outputs=outputs,
            statistic=self.statistic(scores[known]),
            target=int(scores.nan_to_num(-math.inf).argmax()),
            index=anomaly_index(scores),
            cost=Cost(forwards=counted.forwards, backwards=counted.backwards, seconds=seconds),
        )


def anomaly_index(scores: Scores) -> Scores:
    r"""Return :math:`(s_k - \mathrm{median}) / (1.4826\,\mathrm{MAD})`, positive where an output is more suspicious.

    Wang et al. (2019), section IV, call a model infected where it exceeds 2. It is NaN where fewer than four scores
    are known: of two, both deviate alike, and of three, it compares two gaps.

    >>> anomaly_index(torch.tensor([1.0, 2.0, 3.0, 4.0, 13.0]))
    tensor([-1.3490, -0.6745,  0.0000,  0.6745,  6.7449])
    """
    known = scores[~scores.isnan()]
    if len(known) < LEAST_OUTPUTS:
        return torch.full_like(scores, torch.nan)
    middle = known.quantile(0.5)
    spread = (known - middle).abs().quantile(0.5)
    return (scores - middle) / (NORMAL * spread) if spread > 0 else torch.full_like(scores, torch.nan)


def _few(count: int) -> str:
    what = "1 output has" if count == 1 else f"{count} outputs have"
    return (
        f"{what} no meaningful anomaly index: a median and its deviations need at least {LEAST_OUTPUTS}. "
        f"Only a comparison with clean twins can tell."
    )


def _numbers(values: Tensor) -> list[JsonValue]:
    return [None if math.isnan(one) else one for one in values.tolist()]
