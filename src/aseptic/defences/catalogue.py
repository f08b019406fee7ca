"""Every cure by its name, as findings and the records say it."""

from typing import Any

from aseptic.core.making import make
from aseptic.core.registry import Registry
from aseptic.defences.base import Defence

DEFENCES: Registry[type[Defence]] = Registry(
    "defence",
    {
        "anp": "aseptic.defences.anp:ANP",
        "fine-pruning": "aseptic.defences.fine_pruning:FinePruning",
        "fine-tuning": "aseptic.defences.fine_tuning:FineTuning",
        "i-bau": "aseptic.defences.ibau:IBAU",
    },
)
"""Name of a cure to its class."""


def make_defence(name: str, **options: Any) -> Defence:  # noqa: ANN401 - as written in a plan
    """Return the cure called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such cure, a setting that it does not have, or a value that it refuses.

    >>> make_defence("fine-tuning", epochs=3).epochs
    3
    """
    return make(DEFENCES, name, options)
