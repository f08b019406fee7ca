"""Every scanner of models by its name, as the command line and the records say it."""

from dataclasses import fields
from typing import Any

from pydantic import TypeAdapter, ValidationError

from aseptic.core.errors import InputError, nearest
from aseptic.core.registry import Registry
from aseptic.scanners.base import ModelScanner

SCANNERS: Registry[type[ModelScanner]] = Registry(
    "scanner",
    {
        "mm-bd": "aseptic.scanners.mmbd:MMBD",
        "neural-cleanse": "aseptic.scanners.neuralcleanse:NeuralCleanse",
        "smooth-inversion": "aseptic.scanners.smooth:SmoothInversion",
    },
)
"""Name of a scanner to its class."""


def make_scanner(name: str, **options: Any) -> ModelScanner:  # noqa: ANN401 - as written in a record
    """Return the scanner called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such scanner, a setting that it does not have, or a value that it refuses.

    >>> make_scanner("mm-bd", starts=4).starts
    4
    """
    kind = SCANNERS.load(name)
    allowed = sorted(field.name for field in fields(kind))
    for option in options:
        if option not in allowed:
            raise InputError(
                f"a setting of scanner {name} must be one of {', '.join(allowed)}; "
                f"got {option!r}{nearest(option, allowed)}"
            )
    try:
        return TypeAdapter(kind).validate_python(options)
    except ValidationError as error:
        first = error.errors()[0]
        raise InputError(
            f"setting {first['loc'][0]} of scanner {name}: {first['msg']}; got {first['input']!r}"
        ) from error
