"""Which attacks an audit runs when none are named: quick, standard or full."""

from aseptic.attacks.base import EvasionAttack, Threat
from aseptic.attacks.catalogue import ATTACKS, unfit
from aseptic.attacks.interfaces import Gradients, Interface, LabelOnly, Scores
from aseptic.core.errors import InputError, nearest
from aseptic.core.record import Skipped
from aseptic.ops.balls import Ball
from aseptic.studies.audit.settings import GREY, AuditSettings
from aseptic.studies.yardsticks.base import Battery
from aseptic.studies.yardsticks.catalogue import kind_of
from aseptic.tasks.base import Goal, Task
from aseptic.tasks.make import parse_goal

SEEN: dict[str, type[Interface]] = {"gradients": Gradients, "scores": Scores, "decisions": LabelOnly}
"""What an attack is shown: no more than it needs."""


BLACK_BOX = (
    "no attack of this audit goes without gradients{some}; an attacker with the weights is the stronger assumption"
)
"""What is said where no attack without gradients was run."""


def battery_of(name: str, task: str = "multiclass") -> Battery:
    """Return the battery called ``name`` for models of ``task``.

    Raises:
        InputError: There is no such battery, or models of the task are not measured.
    """
    known = kind_of(task).batteries
    if name not in known:
        raise InputError(f"battery must be one of {', '.join(known)}; got {name!r}{nearest(name, known)}")
    return known[name]


def threat_of(kind: type[EvasionAttack], goal: Goal, grey: float, queries: int) -> Threat:
    """Return what an attack of this kind is given within ``grey`` levels; ``queries`` bind those that only ask."""
    return Threat(
        goal=goal,
        budget=Ball("linf", grey * GREY),
        interface=SEEN[kind.needs](),
        queries=None if kind.needs == "gradients" else queries,
    )


def unserved(settings: AuditSettings, task: Task) -> tuple[Skipped, ...]:
    """Return the probes that cannot serve this task, with the reason.

    Raises:
        InputError: An attack of the curve cannot serve it, or a name is unknown.
    """
    found, goal = [], parse_goal(settings.goal, task)
    for name in settings.methods:
        kind = ATTACKS.load(name)
        if (reason := unfit(kind, threat_of(kind, goal, settings.reference, settings.queries), task)) is None:
            continue
        if name in settings.attacks:
            raise InputError(f"{name} {reason}")
        found.append(Skipped(id=f"attack.{name}", title=f"The attack {name}", reason=f"it {reason}"))
    if not any(query_only(name) for name in settings.methods):
        some = [one for one, kept in kind_of(task.name).batteries.items() if any(map(query_only, kept.probes))]
        more = f" (--battery {' and '.join(some)} have some)" if some else ""
        title = "Attackers who can only ask questions (black box)"
        found.append(Skipped(id="query", title=title, reason=BLACK_BOX.format(some=more)))
    return tuple(found)


def query_only(name: str) -> bool:
    """Return whether an attack only asks the model, without its gradients."""
    return ATTACKS.load(name).needs != "gradients"
