"""Every yardstick by the name of its task; `yardstick_of` chooses."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

from aseptic.core.errors import InputError
from aseptic.studies.yardsticks.base import Yardstick
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.make import parse_goal

YARDSTICKS: Mapping[str, str] = {
    "multiclass": "aseptic.studies.yardsticks.decisions:Classes",
    "multilabel": "aseptic.studies.yardsticks.decisions:Findings",
    "segmentation": "aseptic.studies.yardsticks.structures:Structures",
    "detection": "aseptic.studies.yardsticks.objects:Objects",
}
"""Task to its yardstick, as ``module:class``."""


def kind_of(task: str) -> type[Yardstick[Any]]:
    """Return the yardstick of a task by the task's name.

    Raises:
        InputError: Models of this task are not measured.
    """
    if task not in YARDSTICKS:
        raise InputError(f"task must be one of {', '.join(YARDSTICKS)}; got {task!r}")
    module, _, name = YARDSTICKS[task].partition(":")
    found: type[Yardstick[Any]] = getattr(import_module(module), name)
    return found


def yardstick_of(task: Task, goal: str | Goal = "untargeted") -> Yardstick[Any]:
    """Return what is measured on a model of this task when it is attacked with this goal.

    Raises:
        InputError: Models of this task are not measured, or the task has no such goal.
    """
    wanted = parse_goal(goal, task) if isinstance(goal, str) else goal
    return kind_of(task.name)(task=task, goal=wanted)
