"""A task from its name, as `model.yaml`, the command line and the readers say it."""

from collections.abc import Sequence

from aseptic.core.errors import InputError
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.multiclass import Avoid, MultiClass
from aseptic.tasks.multilabel import FlipAll, MultiLabel

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (MultiClass, MultiLabel)}


def make_task(name: str, classes: Sequence[str], offsets: Sequence[float] = ()) -> Task:
    """Return the task called ``name`` with these outputs and this operating point.

    Raises:
        InputError: The name is unknown, or there are fewer outputs than the task needs.
    """
    if name not in TASKS:
        raise InputError(f"task must be one of {', '.join(sorted(TASKS))}; got {name!r}")
    least = 2 if name == MultiClass.name else 1
    if len(classes) < least:
        raise InputError(f"a {name} task needs at least {least} classes, got {list(classes)}")
    return TASKS[name](classes=tuple(classes), offsets=tuple(offsets))


def untargeted(task: Task) -> Goal:
    """Return the goal that needs no choice: avoid the true class, or flip every finding."""
    return Avoid() if task.name == MultiClass.name else FlipAll()
