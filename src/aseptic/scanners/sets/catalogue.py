"""Every scanner of training sets by its name, as findings and the records say it."""

from typing import Any

from aseptic.core.making import make
from aseptic.core.registry import Registry
from aseptic.scanners.sets.base import SetScanner

SET_SCANNERS: Registry[type[SetScanner]] = Registry(
    "set scanner",
    {
        "activation-clustering": "aseptic.scanners.sets.activation_clustering:ActivationClustering",
        "beatrix": "aseptic.scanners.sets.beatrix:Beatrix",
        "spectral-signatures": "aseptic.scanners.sets.spectral_signatures:SpectralSignatures",
        "spectrum": "aseptic.scanners.sets.spectrum:Spectrum",
    },
)
"""Name of a scanner to its class."""


def make_set_scanner(name: str, **options: Any) -> SetScanner:  # noqa: ANN401 - as written in a plan
    """Return the scanner called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such scanner, a setting that it does not have, or a value that it refuses.

    >>> make_set_scanner("spectrum", bands=64).bands
    64
    """
    return make(SET_SCANNERS, name, options)
