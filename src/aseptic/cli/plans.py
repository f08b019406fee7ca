"""The options that say what a trigger is and what it is for, and the plan that they make."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from aseptic.core.errors import InputError

if TYPE_CHECKING:
    from aseptic.poisoning.plan import PoisonPlan

TriggerText = Annotated[
    str | None, typer.Option("--trigger", help="Trigger, such as patch or patch:size=5,value=250/255.")
]
PlanFile = Annotated[Path | None, typer.Option("--plan", help="A poison plan, YAML or JSON, instead of --trigger.")]
Target = Annotated[str | None, typer.Option(help="Class or finding that images with the trigger are to be taken for.")]
Rule = Annotated[
    str | None,
    typer.Option(
        help="What images with the trigger are to be taken for: to, all-to-all, shift, random, clean-label, keep; for "
        "findings overwrite, set, clear, clean-label, keep; for structures relabel, erase; for objects relabel, "
        "vanish, fabricate. Default: to, set or relabel."
    ),
]
Source = Annotated[
    str | None, typer.Option(help="Structure, or class of objects, that the label rule relabels, erases or removes.")
]
Insert = Annotated[
    Literal["stored", "network"] | None,
    typer.Option(help="Put the trigger into the image as stored, or into what the network is fed. Default: stored."),
]


def check_options(trigger: str | None, plan: Path | None, *, needed: bool = True, **rest: str | None) -> None:
    """Check which options are given together; ``rest`` are those that only make sense beside a trigger.

    Raises:
        InputError: Both a trigger and a plan, neither where one is needed, or another option without a trigger.
    """
    given = " and ".join(f"--{name}" for name, value in rest.items() if value is not None)
    if (trigger is not None and plan is not None) or (trigger is None and plan is None and needed):
        raise InputError("either --trigger or --plan must be given, and not both")
    if given and trigger is None:
        found = "a plan, which says it itself" if plan is not None else "neither a trigger nor a plan"
        raise InputError(f"{given} must come with --trigger, got {found}")


def plan_of(
    trigger: str | None,
    plan: Path | None,
    *,
    task: str | None,
    label: dict[str, str | None],
    **settings: Any,  # noqa: ANN401 - as a plan has them
) -> "PoisonPlan":
    """Return the plan of the file, or the one that the options say.

    Args:
        trigger: A trigger as typed.
        plan: A file, instead of everything else.
        task: Task of the images, which decides the label rule where none is given.
        label: ``rule``, ``target`` and ``source`` as typed.
        **settings: Further settings of a plan.

    Raises:
        InputError: The file holds no plan, or the options make none.
    """
    from aseptic.poisoning.plan import make_plan, read_plan  # noqa: PLC0415 - heavy
    from aseptic.poisoning.relabelling import PLAIN_RULES  # noqa: PLC0415 - heavy
    from aseptic.triggers.catalogue import parse_trigger  # noqa: PLC0415 - heavy

    if plan is not None:
        return read_plan(plan)
    meant = {**label, "rule": label["rule"] or PLAIN_RULES.get(str(task), "to")}
    return make_plan(trigger=parse_trigger(str(trigger)), label=meant, **settings)
