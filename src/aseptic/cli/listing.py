"""``aseptic list``: what there is, by kind."""

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated

import typer

from aseptic.core.errors import InputError, nearest


def _attacks() -> Sequence[str]:
    from aseptic.attacks.catalogue import ATTACKS  # noqa: PLC0415 - heavy

    return ATTACKS.names()


def _archs() -> Sequence[str]:
    from aseptic.models.archs import list_archs  # noqa: PLC0415 - heavy

    return list_archs()


def _formats() -> Sequence[str]:
    from aseptic.data.formats import FORMATS  # noqa: PLC0415 - heavy

    return FORMATS.names()


def _collections() -> Sequence[str]:
    from aseptic.data.collections.catalogue import COLLECTIONS  # noqa: PLC0415 - heavy
    from aseptic.data.phantoms import PHANTOMS  # noqa: PLC0415 - heavy

    return [f"{name}:PATH" for name in COLLECTIONS.names()] + [f"phantom:{name}" for name in PHANTOMS.names()]


def _scanners() -> Sequence[str]:
    from aseptic.scanners.catalogue import SCANNERS  # noqa: PLC0415 - heavy
    from aseptic.scanners.sets.catalogue import SET_SCANNERS  # noqa: PLC0415 - heavy

    return [*SCANNERS.names(), *SET_SCANNERS.names()]


def _triggers() -> Sequence[str]:
    from aseptic.triggers.catalogue import TRIGGERS  # noqa: PLC0415 - heavy

    return TRIGGERS.names()


KINDS: Mapping[str, Callable[[], Sequence[str]]] = {
    "attacks": _attacks,
    "archs": _archs,
    "collections": _collections,
    "formats": _formats,
    "scanners": _scanners,
    "triggers": _triggers,
}


def listing(
    kind: Annotated[
        str, typer.Argument(help="attacks, archs, collections, formats, scanners or triggers.", show_default=False)
    ],
) -> None:
    """Print the names of one KIND, one a line."""
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}{nearest(kind, KINDS)}")
    typer.echo("\n".join(KINDS[kind]()))
