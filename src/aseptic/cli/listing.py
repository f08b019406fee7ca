"""``aseptic list``: what there is, by kind."""

import ast
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from aseptic.core.errors import InputError, nearest
from aseptic.core.registry import Registry


def _described(*registries: Registry[Any]) -> Sequence[str]:
    """Return each name with the first line of its module, which is read and not imported: that would be slow."""
    lines = {}
    for registry in registries:
        for name in registry.names():
            found = find_spec(registry.table[name].partition(":")[0])
            source = Path(found.origin).read_text("utf-8") if found and found.origin else ""
            lines[name] = (ast.get_docstring(ast.parse(source)) or "").partition("\n")[0]
    width = max(map(len, lines))
    return [f"{name:{width}}  {line}" for name, line in lines.items()]


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


def _defences() -> Sequence[str]:
    from aseptic.defences.catalogue import DEFENCES  # noqa: PLC0415 - heavy

    return _described(DEFENCES)


def _detectors() -> Sequence[str]:
    from aseptic.detectors.catalogue import DETECTORS  # noqa: PLC0415 - heavy

    return _described(DETECTORS)


def _scanners() -> Sequence[str]:
    from aseptic.scanners.catalogue import SCANNERS  # noqa: PLC0415 - heavy
    from aseptic.scanners.sets.catalogue import SET_SCANNERS  # noqa: PLC0415 - heavy

    return _described(SCANNERS, SET_SCANNERS)


def _triggers() -> Sequence[str]:
    from aseptic.triggers.catalogue import TRIGGERS  # noqa: PLC0415 - heavy

    return TRIGGERS.names()


KINDS: Mapping[str, Callable[[], Sequence[str]]] = {
    "attacks": _attacks,
    "archs": _archs,
    "collections": _collections,
    "defences": _defences,
    "detectors": _detectors,
    "formats": _formats,
    "scanners": _scanners,
    "triggers": _triggers,
}


def listing(
    kind: Annotated[
        str,
        typer.Argument(
            help="attacks, archs, collections, defences, detectors, formats, scanners or triggers.", show_default=False
        ),
    ],
) -> None:
    """Print the names of one KIND, one a line; of defences, detectors and scanners also what each does."""
    if kind not in KINDS:
        raise InputError(f"kind must be one of {', '.join(KINDS)}; got {kind!r}{nearest(kind, KINDS)}")
    typer.echo("\n".join(KINDS[kind]()))
