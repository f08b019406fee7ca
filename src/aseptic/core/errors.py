"""The one exception tree. Every message names the thing, the allowed values and the value found."""

import difflib
from collections.abc import Iterable


class AsepticError(Exception):
    """Base of everything that aseptic raises on purpose."""


class InputError(AsepticError):
    """What the caller gave cannot be used: a wrong option, a bad file, a label that is not a class (exit 2)."""


class RefusedError(InputError):
    """A file that would execute code when opened; the message names the option that would allow it."""


class MissingExtraError(InputError):
    """An optional library is needed and absent; the message gives the command that installs it."""


class ContractError(AsepticError):
    """A method broke its promise: left its budget, returned NaN, changed the audited model (exit 3)."""


def nearest(name: str, known: Iterable[str]) -> str:
    """Return ``", did you mean 'x'?"`` for the closest known name, or an empty string.

    >>> nearest("pdg", ["pgd", "fgsm"])
    ", did you mean 'pgd'?"
    """
    close = difflib.get_close_matches(name, list(known), n=1)
    return f", did you mean {close[0]!r}?" if close else ""
