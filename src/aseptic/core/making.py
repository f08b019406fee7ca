"""Methods from their names and settings, and back: what plans, files and command lines say."""

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from typing import Any, TypeVar

import yaml
from pydantic import JsonValue, TypeAdapter, ValidationError

from aseptic.core.canon import canonical
from aseptic.core.errors import InputError, nearest
from aseptic.core.registry import Registry

T = TypeVar("T")


def make(registry: Registry[type[T]], name: str, options: Mapping[str, Any]) -> T:
    """Return the method called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such method, a setting that it does not have, or a value that it refuses.
    """
    kind: Any = registry.load(name)
    allowed = sorted(field.name for field in fields(kind))
    for option in options:
        if option not in allowed:
            known = f"must be one of {', '.join(allowed)}" if allowed else "is not possible"
            raise InputError(f"a setting of {registry.kind} {name} {known}; got {option!r}{nearest(option, allowed)}")
    try:
        made: T = _validator(kind)(dict(options))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"][:1])
        raise InputError(
            f"setting {where} of {registry.kind} {name}: {first['msg']}; got {first['input']!r}"
        ) from error
    return made


@cache
def _validator(kind: type[Any]) -> Callable[[dict[str, Any]], Any]:
    return TypeAdapter(kind).validate_python


def parse(registry: Registry[type[T]], text: str) -> tuple[str, dict[str, Any]]:
    """Return the name and the settings of a method as they are typed: ``patch`` or ``patch:size=5,value=250/255``.

    Raises:
        InputError: No such method, or a setting without a value.
    """
    name, _, rest = text.partition(":")
    kind: Any = registry.load(name)
    # What is a word must stay one: YAML would read NO as false and 12 as a number.
    words = {field.name for field in fields(kind) if field.type in {str, str | None}}
    options: dict[str, Any] = {}
    for part in filter(None, rest.split(",")):
        key, equals, value = part.partition("=")
        if not equals:
            raise InputError(f"a setting of a {registry.kind} must be NAME=VALUE, got {part!r}")
        options[key.strip()] = value if key.strip() in words else yaml.safe_load(value)
    return name, options


def describe(registry: Registry[type[T]], made: T) -> dict[str, JsonValue]:
    """Return the name and every setting, from which `make` makes the same method again."""
    name = next(name for name in registry.names() if registry.load(name) is type(made))
    settings = {field.name: getattr(made, field.name) for field in fields(made)}  # type: ignore[arg-type]  # all are
    found: dict[str, JsonValue] = json.loads(canonical({"name": name, **settings}))
    return found
