"""Errors of third-party parsers, made into sentences that quote nothing from the file."""

from collections.abc import Iterator
from contextlib import contextmanager

from aseptic.core.errors import AsepticError, InputError


@contextmanager
def sealed(failure: str) -> Iterator[None]:
    """Turn whatever a hostile file makes a parser or codec raise into an `InputError` without identifiers.

    Raises:
        InputError: Something inside failed; ``failure`` and the type of the error are the message.
    """
    try:
        yield
    except AsepticError:
        raise
    except Exception as error:  # noqa: BLE001 - parsers of hostile input raise anything; the text may hold identifiers
        raise InputError(f"{failure} ({type(error).__name__})") from None
