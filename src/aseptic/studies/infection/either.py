"""The raw rows and the numbers of an infection of a model of any task."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa
from pandas import DataFrame

from aseptic.data.imageset import ImageSet
from aseptic.metrics.bootstrap import Measured, Resample
from aseptic.metrics.dense_infection import BoxHit
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan
from aseptic.studies.infection.answers import CLEAN, infection_rows
from aseptic.studies.infection.dense import dense_rows, is_dense
from aseptic.studies.infection.dense_measure import DENSE_TITLES, measure_dense
from aseptic.studies.infection.dense_telling import dense_told
from aseptic.studies.infection.measure import TITLES, measure_before, measure_infection
from aseptic.studies.infection.telling import told
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.studies.yardsticks.catalogue import yardstick_of
from aseptic.tasks.base import Task


def rows_of(  # noqa: PLR0913 - a model, its images, the trigger, and how
    subject: Subject,
    data: ImageSet,
    plan: PoisonPlan,
    batch_size: int,
    hit: BoxHit | None = None,
    *,
    decoys: bool = True,
) -> pa.Table:
    """Return a row for each image of a labelled set and condition: as it is, with the trigger, and with a decoy.

    Args:
        subject: The model; the same afterwards as before.
        data: Clean, labelled images, a view with the size that the model is fed.
        plan: Its trigger goes into every image; its label rule says what the attacker wants.
        batch_size: Images in one forward pass.
        hit: When a detection is one of an object; None as `BoxHit` has it.
        decoys: Whether decoys are asked about too, where the trigger has any.

    Raises:
        InputError: There are no labels, or the trigger or rule does not fit.
    """
    if not is_dense(subject.task):
        return infection_rows(subject, data, plan, batch_size, decoys=decoys)
    true = yardstick_of(subject.task).targets(data)
    return dense_rows(subject, data, true, plan, batch_size, hit or BoxHit(), decoys=decoys)


def numbers_of(
    rows: DataFrame, yardstick: Yardstick[Any], plan: PoisonPlan, sample: Resample, hit: BoxHit | None = None
) -> dict[str, Measured]:
    """Measure everything about one model and trigger, by name, with the rates without the trigger."""
    if is_dense(yardstick.task):
        return measure_dense(rows, yardstick, plan, sample, hit or BoxHit())
    return measure_before(rows, sample) | measure_infection(rows, yardstick, plan, sample)


def words_of(
    task: Task, plan: PoisonPlan, rows: DataFrame, *, labelled: bool, hit: BoxHit | None = None
) -> tuple[dict[str, Any], Mapping[str, str]]:
    """Return the arguments of the findings, and the titles of the numbers."""
    args: dict[str, Any] = {"insert": plan.insert, "labelled": labelled}
    if is_dense(task):
        label, said = plan.label, dense_told(plan, task, labelled=labelled)
        args |= said if label.source is None else {**said, "source": label.source}
        if task.boxes:
            used = hit or BoxHit()
            args |= {"overlap": used.overlap, "confidence": used.confidence}
        others = said["others"][:1].upper() + said["others"][1:]
        names = {"Others": others, "wanted": said["wanted"], "source": label.source, "target": label.target}
        return args, {name: title.format(**names) for name, title in DENSE_TITLES.items()}
    unknown = 0
    if plan.label.target is not None:
        unknown = int(rows.loc[rows["condition"] == CLEAN, f"target:{plan.label.target}"].isna().sum())
    return {**args, "unknown": unknown, **told(plan, labelled=labelled)}, TITLES
