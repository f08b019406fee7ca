"""What may follow the name of a data set: ``NAME?OPTION=VALUE&OPTION=VALUE``."""

from collections.abc import Collection

from aseptic.core.errors import InputError, nearest


def parse_options(text: str, known: Collection[str], owner: str) -> dict[str, str]:
    """Return the options in what follows the question mark, values as typed.

    >>> parse_options("n=30&size=64", ("n", "size"), "phantom:derm")
    {'n': '30', 'size': '64'}

    Raises:
        InputError: An option is unknown or given twice.
    """
    given: dict[str, str] = {}
    for pair in text.split("&"):
        key, _, value = pair.partition("=")
        if key not in known:
            raise InputError(
                f"an option of {owner} must be one of {', '.join(known)}; got {key!r}{nearest(key, known)}"
            )
        if key in given:
            raise InputError(f"option {key} of {owner} must be given once, got {text!r}")
        given[key] = value
    return given
