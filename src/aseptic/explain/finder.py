"""SentiNet's idea: a trigger that one image carries works on others too, and an explanation shows where it lies."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from aseptic.core.errors import InputError
from aseptic.core.types import Flags, Image, Images, Logits, PerImage, Places
from aseptic.explain.base import Explainer, Outputs, decided
from aseptic.explain.catalogue import EXPLAINERS
from aseptic.explain.regions import grown, smoothed
from aseptic.models.guard import untouched
from aseptic.models.subject import Subject

TASKS = ("multiclass", "multilabel")
"""Tasks with one decision for an image."""

Carriers = Float[Tensor, "carrier band *extent"]
"""Clean images that something is pasted into."""
Regions = Bool[Tensor, "region *extent"]
"""The places that are pasted, for each region that is tried."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FinderResult:
    """What was found about each input; NaN where every carrier already decides as the input does."""

    score: PerImage
    """``fooled * inert`` of the region where that is largest, in [0, 1]; higher is more suspicious."""
    fooled: PerImage
    """Share of the carriers that decide as the input does once its region is pasted into them."""
    inert: PerImage
    """Mean confidence that the carriers keep in their own decisions when the region is filled with noise instead."""
    regions: Places
    """The region, ``[N, *space]``; nowhere where the explanations point nowhere."""
    outputs: Outputs
    """The output that the input's decision rests on."""
    forwards: int
    """Images that the model was asked about, those for the explanations among them."""


@dataclass(frozen=True, kw_only=True)
class TriggerFinder:
    """Paste what an explanation points at into clean images, and see whether they follow.

    For every input: explain its decision ``k``; take the connected region around the peak of the map, at several sizes;
    paste its pixels, in their place, into carriers, clean images that are not decided ``k``. A region is suspicious
    when many carriers are then decided ``k`` (``fooled``), although it is so small that noise in its place would leave
    them confident in what they decided before (``inert``). Nothing needs to be known about a trigger or its target.

    Paper: Chou, Tramer and Pellegrino (2020), https://arxiv.org/abs/1812.00292, section 3.
    Departs from it: integrated gradients instead of Grad-CAM, whose grid is coarser than small triggers; several sizes
    instead of one threshold; no other classes' maps are subtracted; of the carriers, only those count that are not
    decided ``k`` and are furthest from it, since others follow any small change; the confidence is that in the
    carrier's own decision (for findings: that the finding is not there); the score is the product of the two numbers,
    where the paper fits a curve to both on clean images.
    Blind to: triggers without a place (blended, warped, in the frequencies) and those larger than the largest share;
    triggers that work only in their own image; in models of findings, those that only take findings away; carriers
    that are infected themselves. A small sign that rightly decides the case looks like a trigger.
    """

    explainers: tuple[str | Explainer, ...] = ("integrated-gradients",)
    """Where the decision rests, by name or as functions; each proposes regions, and the most suspicious one counts."""
    shares: tuple[float, ...] = (0.001, 0.002, 0.004, 0.008, 0.016)
    """Sizes of the regions, as shares of the image, in (0, 1]; at least one pixel."""
    peaks: int = 1
    """Peaks of a map around which regions are grown."""
    smooth: int = 3
    """Side of the box, in pixels, that maps are averaged over before their peaks are looked for; odd."""
    surest: float = 0.5
    """Share of the carriers not decided as the input that count, those furthest from being so; in (0, 1]."""

    def __post_init__(self) -> None:
        """Check the domains."""
        if not self.explainers:
            raise InputError("explainers must name at least one, got none")
        if not self.shares or not all(0 < share <= 1 for share in self.shares):
            raise InputError(f"shares must lie in (0, 1], got {list(self.shares)}")
        if self.peaks < 1:
            raise InputError(f"peaks must be at least 1, got {self.peaks}")
        if self.smooth < 1 or self.smooth % 2 == 0:
            raise InputError(f"smooth must be odd and at least 1, got {self.smooth}")
        if not 0 < self.surest <= 1:
            raise InputError(f"surest must lie in (0, 1], got {self.surest:g}")

    def find(
        self, subject: Subject, images: Images, carriers: Carriers, *, rng: torch.Generator, batch_size: int = 32
    ) -> FinderResult:
        """Score every image; the same images, carriers and stream give the same scores.

        Args:
            subject: Model that is asked; the same afterwards as before.
            images: Inputs that may carry a trigger, ``[N, channel, *space]`` in [0, 1].
            carriers: Clean images of the same shape that are not among the inputs; some of every decision.
            rng: Stream that the noise is drawn from.
            batch_size: Images at a time.

        Raises:
            InputError: The model answers places or objects, there are no carriers, or their shape differs.
            ContractError: The model was changed.
        """
        if subject.task.name not in TASKS:
            raise InputError(f"the finder serves {' and '.join(TASKS)} models, got {subject.task.name}")
        if len(carriers) == 0 or carriers.shape[1:] != images.shape[1:]:
            raise InputError(
                f"carriers must be at least one image of shape {list(images.shape[1:])}, got {list(carriers.shape)}"
            )
        with untouched(subject), torch.no_grad(), _counting(subject) as asked:
            outputs = decided(subject, images, batch_size=batch_size)
            regions = self._regions(subject, images, outputs, batch_size)
            bench = _Bench.of(subject, carriers, rng, batch_size)
            found = [
                bench.judge(image, output, own, self.surest)
                for image, output, own in zip(images, outputs.tolist(), regions, strict=True)
            ]
        score, fooled, inert = torch.tensor([one.numbers for one in found]).reshape(-1, 3).to(images).unbind(1)
        return FinderResult(
            score=score,
            fooled=fooled,
            inert=inert,
            regions=torch.stack([one.region for one in found]) if found else images[:, 0].bool(),
            outputs=outputs,
            forwards=sum(asked),
        )

    def _regions(self, subject: Subject, images: Images, outputs: Outputs, batch_size: int) -> list[Regions]:
        """Return the regions that are tried for each image; one without pixels where there is nothing to try."""
        space = images.shape[2:]
        sizes = sorted({max(1, round(share * math.prod(space))) for share in self.shares})
        found: list[list[Tensor]] = [[] for _ in images]
        for named in self.explainers:
            explain = EXPLAINERS.load(named) if isinstance(named, str) else named
            with torch.enable_grad():
                maps = explain(subject, images, outputs, batch_size=batch_size)
            for own, one in zip(found, smoothed(maps, self.smooth), strict=True):
                own.extend(grown(one, sizes, peaks=self.peaks))
        nothing = torch.zeros(space, dtype=torch.bool)
        return [torch.stack(sorted(own or [nothing], key=torch.count_nonzero)).to(images.device) for own in found]


@dataclass(frozen=True, kw_only=True, eq=False)
class _Judged:
    """The most suspicious region of one input."""

    numbers: tuple[float, float, float]
    """Score, fooled, inert."""
    region: Tensor
    """The region, ``[*space]``."""


@dataclass(frozen=True, kw_only=True, eq=False)
class _Bench:
    """The carriers, and what they are decided as before anything is pasted into them."""

    subject: Subject
    """The model."""
    images: Carriers
    """The carriers, where the model is."""
    noise: Carriers
    """What regions of them are filled with in the control."""
    logits: Logits
    """What the model says about them."""
    batch_size: int
    """Images at a time."""

    @classmethod
    def of(cls, subject: Subject, carriers: Carriers, rng: torch.Generator, batch_size: int) -> "_Bench":
        """Ask the model about the carriers, and draw noise as bright and as varied as they are together."""
        carriers = carriers.to(next(subject.parameters(), carriers).device)
        drawn = torch.randn(carriers.shape, generator=rng).to(carriers)
        noise = (carriers.mean() + carriers.std(correction=0) * drawn).clamp(0, 1)
        logits = torch.cat([subject(batch) for batch in torch.split(carriers, batch_size)])
        return cls(subject=subject, images=carriers, noise=noise, logits=logits, batch_size=batch_size)

    def judge(self, image: Image, output: int, regions: Regions, surest: float) -> _Judged:
        """Return the region with the highest score; noise is tried only where it can still change which that is."""
        other = self._decided_otherwise(output, surest)
        if len(other.images) == 0:
            return _Judged(numbers=(math.nan,) * 3, region=torch.zeros_like(regions[0]))
        moved = self._decided(other.answers(image[None], regions), output)
        fooled = moved.reshape(len(regions), -1).float().mean(1)
        best = _Judged(numbers=(-1.0, 0.0, 0.0), region=regions[0])
        for row in fooled.argsort(descending=True, stable=True).tolist():
            share = float(fooled[row])
            if share <= best.numbers[0]:
                break
            inert = other.confidence(other.answers(other.noise, regions[[row]]), output)
            if share * inert > best.numbers[0]:
                best = _Judged(numbers=(share * inert, share, inert), region=regions[row])
        return best

    def answers(self, fill: Tensor, regions: Regions) -> Logits:
        """Return the logits of the carriers, region after region filled from ``fill``: one image, or one for each."""
        regions, fill = regions.to(self.images.device), fill.to(self.images).expand_as(self.images)
        pairs = torch.cartesian_prod(torch.arange(len(regions)), torch.arange(len(self.images)))
        logits = [
            self.subject(torch.where(regions[rows[:, 0], None], fill[rows[:, 1]], self.images[rows[:, 1]]))
            for rows in torch.split(pairs, self.batch_size)
        ]
        return torch.cat(logits)

    def confidence(self, logits: Logits, output: int) -> float:
        """Return the mean probability of what the carriers were decided as: for findings, that this one is absent."""
        task = self.subject.task
        scores, before = task.scores(logits), task.decide(self.logits)
        own = scores.gather(1, before[:, None]) if before.ndim == 1 else 1 - scores[:, output]
        return float(own.mean())

    def _decided_otherwise(self, output: int, surest: float) -> "_Bench":
        """Return a share of the carriers that are not decided as the output, the furthest from it."""
        task = self.subject.task
        rows = torch.nonzero(~self._decided(self.logits, output))[:, 0]
        above = task.shift(self.logits[rows])
        margin = above[:, output] if task.name == "multilabel" else above[:, output] - above.amax(1)
        rows = rows[margin.argsort(stable=True)[: math.ceil(surest * len(rows))]]
        return replace(self, images=self.images[rows], noise=self.noise[rows], logits=self.logits[rows])

    def _decided(self, logits: Logits, output: int) -> Flags:
        """Return which images are decided as the output, or reported to have the finding."""
        decisions = self.subject.task.decide(logits)
        return decisions == output if decisions.ndim == 1 else decisions[:, output] == 1


@contextmanager
def _counting(subject: Subject) -> Iterator[list[int]]:
    """Yield a list that receives the size of every batch that the model is asked about."""
    asked: list[int] = []

    def count(_: nn.Module, given: tuple[Tensor, ...]) -> None:
        asked.append(len(given[0]))

    handle = subject.register_forward_pre_hook(count)
    try:
        yield asked
    finally:
        handle.remove()
