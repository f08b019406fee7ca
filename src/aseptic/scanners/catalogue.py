"""Every scanner of models by its name, as the command line and the records say it."""

from typing import Any

from aseptic.core.making import make
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
    return make(SCANNERS, name, options)
