"""Every evasion attack by its name, as the command line and the records say it."""

from dataclasses import fields

from aseptic.attacks.base import EvasionAttack
from aseptic.core.errors import InputError, nearest
from aseptic.core.registry import Registry

ATTACKS: Registry[type[EvasionAttack]] = Registry(
    "attack",
    {
        "fgsm": "aseptic.attacks.fgsm:FGSM",
        "pgd": "aseptic.attacks.pgd:PGD",
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
