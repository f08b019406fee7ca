"""Every evasion attack by its name, as the command line and the records say it."""

from dataclasses import fields

from aseptic.attacks.base import EvasionAttack, Threat
from aseptic.attacks.interfaces import SHOWS
from aseptic.core.errors import InputError, nearest
from aseptic.core.registry import Registry
from aseptic.tasks.base import Task

ATTACKS: Registry[type[EvasionAttack]] = Registry(
    "attack",
    {
        "alma-prox": "aseptic.attacks.almaprox:ALMAProx",
        "apgd-ce": "aseptic.attacks.apgd:APGDCE",
        "apgd-dlr": "aseptic.attacks.apgd:APGDDLR",
        "apgd-t": "aseptic.attacks.apgd:APGDT",
        "autoattack": "aseptic.attacks.autoattack:AutoAttack",
        "bim": "aseptic.attacks.bim:BIM",
        "boundary": "aseptic.attacks.boundary:Boundary",
        "cospgd": "aseptic.attacks.cospgd:CosPGD",
        "cw-l2": "aseptic.attacks.cwl2:CWL2",
        "cw-linf": "aseptic.attacks.cwlinf:CWLinf",
        "dag": "aseptic.attacks.dag:DAG",
        "ddn": "aseptic.attacks.ddn:DDN",
        "deepfool": "aseptic.attacks.deepfool:DeepFool",
        "di-fgsm": "aseptic.attacks.difgsm:DIFGSM",
        "dpatch": "aseptic.attacks.dpatch:DPatch",
        "fab": "aseptic.attacks.fab:FAB",
        "fab-t": "aseptic.attacks.fab:FABT",
        "fgsm": "aseptic.attacks.fgsm:FGSM",
        "fmn": "aseptic.attacks.fmn:FMN",
        "hopskipjump": "aseptic.attacks.hopskipjump:HopSkipJump",
        "mi-fgsm": "aseptic.attacks.mifgsm:MIFGSM",
        "ni-fgsm": "aseptic.attacks.nifgsm:NIFGSM",
        "patch": "aseptic.attacks.patch:Patch",
        "pgd": "aseptic.attacks.pgd:PGD",
        "segpgd": "aseptic.attacks.segpgd:SegPGD",
        "si-fgsm": "aseptic.attacks.sifgsm:SIFGSM",
        "sia": "aseptic.attacks.sia:SIA",
        "simba": "aseptic.attacks.simba:SimBA",
        "square": "aseptic.attacks.square:Square",
        "svre": "aseptic.attacks.svre:SVRE",
        "ti-fgsm": "aseptic.attacks.tifgsm:TIFGSM",
        "tog": "aseptic.attacks.tog:TOG",
        "vmi-fgsm": "aseptic.attacks.vmifgsm:VMIFGSM",
    },
)

WORDS: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a word"}
"""Types of options, in words."""


def make_attack(name: str, **options: object) -> EvasionAttack:
    """Return the attack called ``name`` with these search settings; the others keep their defaults.

    Raises:
        InputError: No such attack, an option that it does not have, or a value that it refuses.

    >>> make_attack("pgd", steps=5).steps
    5
    """
    kind = ATTACKS.load(name)
    defaults = {field.name: field.default for field in fields(kind)}
    allowed = sorted(defaults)
    for option, value in options.items():
        if option not in allowed:
            known = f"must be one of {', '.join(allowed)}" if allowed else "is not possible"
            raise InputError(f"an option of {name} {known}; got {option!r}{nearest(option, allowed)}")
        wanted = type(defaults[option])
        if type(value) is not wanted and not (wanted is float and type(value) is int):
            raise InputError(f"{option} must be {WORDS[wanted]}, got {value!r}")
    return kind(**options)


def unfit(kind: type[EvasionAttack], threat: Threat, task: Task) -> str | None:
    """Return why attacks of this kind cannot serve the threat on this task, or None where they can."""
    if task.name not in kind.tasks:
        return f"serves {' and '.join(kind.tasks)} models, got {task.name}"
    if threat.budget.norm not in kind.norms:
        return f"searches budgets in {', '.join(kind.norms)}, got {threat.budget.norm}"
    if len(task.classes) < kind.least_classes:
        return f"needs at least {kind.least_classes} classes, got {len(task.classes)}"
    if SHOWS.index(kind.needs) > SHOWS.index(threat.interface.shows):
        return f"needs {kind.needs}, got an attacker who sees {threat.interface.describe()}"
    return None


def check_serves(attack: EvasionAttack, threat: Threat, task: Task) -> None:
    """Raise `InputError` where the attack cannot serve the threat on this task; the message names those that can."""
    if (reason := unfit(type(attack), threat, task)) is not None:
        able = [name for name in ATTACKS.names() if unfit(ATTACKS.load(name), threat, task) is None]
        raise InputError(f"{type(attack).__name__} {reason}; attacks that can: {', '.join(able) or 'none'}")
