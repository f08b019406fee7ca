"""Every trigger by its name, as plans and the command line say it."""

from typing import Any

from pydantic import JsonValue

from aseptic.core.making import describe, make, parse
from aseptic.core.registry import Registry
from aseptic.triggers.base import Trigger

TRIGGERS: Registry[type[Trigger]] = Registry(
    "trigger",
    {
        "blend": "aseptic.triggers.blend:Blend",
        "dot": "aseptic.triggers.dot:Dot",
        "electrode": "aseptic.triggers.electrode:Electrode",
        "fiba": "aseptic.triggers.fiba:FIBA",
        "ftrojan": "aseptic.triggers.ftrojan:FTrojan",
        "lf": "aseptic.triggers.lf:LF",
        "marker": "aseptic.triggers.marker:Marker",
        "noise": "aseptic.triggers.noise:Noise",
        "patch": "aseptic.triggers.patch:Patch",
        "refool": "aseptic.triggers.refool:Refool",
        "ruler": "aseptic.triggers.ruler:Ruler",
        "sig": "aseptic.triggers.sig:SIG",
        "text": "aseptic.triggers.text:Text",
        "wanet": "aseptic.triggers.wanet:WaNet",
    },
)
"""Name of a trigger to its class."""


def make_trigger(name: str, **options: Any) -> Trigger:  # noqa: ANN401 - as written in a plan
    """Return the trigger called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such trigger, a setting that it does not have, or a value that it refuses.

    >>> make_trigger("patch", size=5, value="250/255").size
    5
    """
    return make(TRIGGERS, name, options)


def parse_trigger(text: str) -> Trigger:
    """Return the trigger that a command line names: ``patch`` or ``patch:size=5,value=250/255``.

    Raises:
        InputError: As `make_trigger`, or a setting without a value.
    """
    name, options = parse(TRIGGERS, text)
    return make_trigger(name, **options)


def describe_trigger(trigger: Trigger) -> dict[str, JsonValue]:
    """Return the name and every setting, from which `make_trigger` makes the same trigger again."""
    return describe(TRIGGERS, trigger)
