"""Fine-tuning: training goes on with clean images only."""

from dataclasses import dataclass
from typing import ClassVar

from aseptic.data.imageset import ImageSet
from aseptic.defences.base import Watch
from aseptic.defences.course import Course
from aseptic.models.subject import Subject


@dataclass(frozen=True, kw_only=True)
class FineTuning(Course):
    """Go on training with clean images, and hope that the backdoor is forgotten.

    Paper: Liu, Dolan-Gavitt and Garg (2018), https://arxiv.org/abs/1805.12185, section 3.3, which shows how little it
    does alone; it is here to compare with.
    Departs from it: the task's own loss, so that findings, segmentations and detections are served.
    Blind to: triggers that no clean image resembles: their units are silent, and what is silent does not learn.
    """

    tasks: ClassVar[tuple[str, ...]] = ("multiclass", "multilabel", "segmentation", "detection")

    def mend(self, subject: Subject, clean: ImageSet, *, seed: int, watch: Watch) -> None:
        """Train the copy."""
        self.train(subject, clean, seed=seed, watch=watch)
