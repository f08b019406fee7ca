"""Facts about the model, the data and the machine, for the record."""

from typing import Any

from aseptic.core.record import Skipped
from aseptic.models.subject import Subject
from aseptic.poisoning.plan import PoisonPlan
from aseptic.scanners.aims import TASKS
from aseptic.studies import facts
from aseptic.studies.audit.pairing import Pair
from aseptic.studies.audit.verdict import NOT_TESTED, TRAINING_SET, not_scanned
from aseptic.studies.yardsticks.catalogue import kind_of, yardstick_of


def model(made: Pair) -> dict[str, Any]:
    """Return what the report says about the model."""
    return facts.model(made.subject)


def data(made: Pair) -> dict[str, Any]:
    """Return what the report says about the data; patients and DICOM files by pseudonym only."""
    task = made.subject.task
    found = {**facts.data(made.data), "n": made.offered, "classes": list(task.classes)}
    if made.targets is not None:
        found["per_class"] = yardstick_of(task).counts(made.targets)
    return found


def environment(subject: Subject) -> dict[str, str]:
    """Return the versions and the machine that the numbers were measured on."""
    return facts.environment(facts.device_of(subject))


def not_tested(made: Pair, plan: PoisonPlan | None = None, *, scanned: bool = False) -> list[Skipped]:
    """Return what this audit did not look at, with reasons.

    Args:
        made: Model and data.
        plan: The suspected trigger that it tried.
        scanned: Whether scanners looked for others.
    """
    backdoor = not_scanned(tried=plan is not None, served=made.subject.task.name in TASKS)
    found = [TRAINING_SET if scanned else backdoor, *NOT_TESTED]
    if made.targets is None:
        found.append(
            Skipped(id="clean", title="Performance on clean images", reason="the data has no labels to compare with")
        )
    if reason := kind_of(made.subject.task.name).unexplained:
        found.append(Skipped(id="explain", title="Explanation maps, clean against attacked", reason=reason))
    if all(name is None for name in made.data.patients):
        found.append(
            Skipped(
                id="patients",
                title="Intervals by patient",
                reason="the data names no patients; images were drawn one by one, so intervals may be too narrow",
            )
        )
    return found
