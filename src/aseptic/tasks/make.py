"""A task from its name, as `model.yaml`, the command line and the readers say it."""

from collections.abc import Sequence

from aseptic.core.errors import InputError
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.multiclass import Avoid, MultiClass, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, MultiLabel, Suppress

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (MultiClass, MultiLabel)}
GOALS: dict[str, tuple[type[Goal], ...]] = {
    MultiClass.name: (Avoid, Reach),
    MultiLabel.name: (Suppress, Inject, FlipAll),
}
"""Which goals an attacker of each task may have."""


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


def parse_goal(text: str, task: Task) -> Goal:
    """Return the goal called ``text``: ``untargeted``, ``reach:CLASS``, ``suppress:FINDING`` or ``inject:FINDING``.

    Raises:
        InputError: The goal is unknown, belongs to another task, or names no class of the task.
    """
    kind, _, name = text.partition(":")
    named: dict[str, type[Reach | Suppress | Inject]] = {"reach": Reach, "suppress": Suppress, "inject": Inject}
    allowed = ["untargeted", *(f"{word}:NAME" for word, goal in named.items() if goal.task == task.name)]
    if kind == "untargeted" and not name:
        return untargeted(task)
    if kind not in named or named[kind].task != task.name:
        raise InputError(f"goal of a {task.name} model must be one of {', '.join(allowed)}; got {text!r}")
    task.output(name)
    return named[kind](name=name)
