"""A task from its name, as `model.yaml`, the command line and the readers say it."""

from collections.abc import Sequence

from aseptic.core.errors import InputError
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.detection import Detection
from aseptic.tasks.detection_goals import Disrupt, Fabricate, Mislabel, Vanish
from aseptic.tasks.multiclass import Avoid, MultiClass, Reach
from aseptic.tasks.multilabel import FlipAll, Inject, MultiLabel, Suppress
from aseptic.tasks.segmentation import Damage, Erase, Relabel, Segmentation

TASKS: dict[str, type[Task]] = {kind.name: kind for kind in (MultiClass, MultiLabel, Segmentation, Detection)}
GOALS: dict[str, tuple[type[Goal], ...]] = {
    MultiClass.name: (Avoid, Reach),
    MultiLabel.name: (Suppress, Inject, FlipAll),
    Segmentation.name: (Erase, Relabel, Damage),
    Detection.name: (Vanish, Mislabel, Fabricate, Disrupt),
}
"""Which goals an attacker of each task may have."""
LEAST: dict[str, int] = {MultiClass.name: 2, MultiLabel.name: 1, Segmentation.name: 2, Detection.name: 1}
"""Fewest outputs of each task; the first class of a segmentation is the background."""
UNTARGETED: dict[str, type[Avoid | FlipAll | Damage | Disrupt]] = {
    MultiClass.name: Avoid,
    MultiLabel.name: FlipAll,
    Segmentation.name: Damage,
    Detection.name: Disrupt,
}
"""The goal of each task that needs no choice."""
NAMED: dict[str, type[Reach | Suppress | Inject | Erase | Vanish]] = {
    "reach": Reach,
    "suppress": Suppress,
    "inject": Inject,
    "erase": Erase,
    "vanish": Vanish,
}
"""Words for the goals that name one output."""
WORDS: dict[str, tuple[str, ...]] = {
    MultiClass.name: ("untargeted", "reach:NAME"),
    MultiLabel.name: ("untargeted", "suppress:NAME", "inject:NAME"),
    Segmentation.name: ("untargeted", "erase:NAME", "relabel:NAME:TO"),
    Detection.name: ("untargeted", "vanish", "vanish:NAME", "relabel:NAME:TO", "fabricate", "fabricate:COUNT"),
}
"""What may be asked of each task."""


def make_task(name: str, classes: Sequence[str], offsets: Sequence[float] = ()) -> Task:
    """Return the task called ``name`` with these outputs and this operating point.

    Raises:
        InputError: The name is unknown, or there are fewer outputs than the task needs.
    """
    if name not in TASKS:
        raise InputError(f"task must be one of {', '.join(sorted(TASKS))}; got {name!r}")
    if len(classes) < LEAST[name]:
        raise InputError(f"a {name} task needs at least {LEAST[name]} classes, got {list(classes)}")
    return TASKS[name](classes=tuple(classes), offsets=tuple(offsets))


def untargeted(task: Task) -> Goal:
    """Return the goal that needs no choice: avoid the class, flip every finding, spoil the masks or the detections."""
    return UNTARGETED[task.name]()


def parse_goal(text: str, task: Task) -> Goal:
    """Return the goal called ``text``.

    ``untargeted``, ``reach:CLASS``, ``suppress:FINDING``, ``inject:FINDING``, ``erase:STRUCTURE``,
    ``relabel:STRUCTURE:ANOTHER``, ``vanish``, ``vanish:CLASS`` or ``fabricate:COUNT``.

    Raises:
        InputError: The goal is unknown, belongs to another task, or names no class of the task.
    """
    word, _, rest = text.partition(":")
    if word == "untargeted" and not rest:
        return untargeted(task)
    if word not in {allowed.partition(":")[0] for allowed in WORDS[task.name][1:]}:
        raise InputError(f"goal of a {task.name} model must be one of {', '.join(WORDS[task.name])}; got {text!r}")
    if word == "relabel":
        name, to = _two(rest, task)
        return Mislabel(name=name, to=to) if task.boxes else Relabel(name=name, to=to)
    if text == "vanish":
        return Vanish()
    if word == "fabricate":
        return _fabricate(text, rest)
    task.output(rest)
    return NAMED[word](name=rest)


def _fabricate(text: str, count: str) -> Goal:
    if text == "fabricate":
        return Fabricate()
    if not (count.isascii() and count.isdigit()):
        raise InputError(f"fabricate must be followed by a whole number of objects, as fabricate:5; got {text!r}")
    return Fabricate(count=int(count))


def _two(text: str, task: Task) -> tuple[str, str]:
    """Return the two classes that a text with a colon between them names; classes may contain colons themselves."""
    places = [place for place, letter in enumerate(text) if letter == ":"]
    pairs = [(text[:place], text[place + 1 :]) for place in places] or [(text, "")]
    name, to = next((pair for pair in pairs if set(pair) <= set(task.classes)), pairs[0])
    for one in (name, to):
        task.output(one)
    return name, to
