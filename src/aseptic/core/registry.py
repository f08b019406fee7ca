"""Registries: name -> object, imported on first use, so that listing names costs nothing."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from aseptic.core.errors import InputError, nearest

T = TypeVar("T")


@dataclass(frozen=True)
class Registry(Generic[T]):
    """A fixed table of names; nothing registers itself by being imported.

    Raises:
        InputError: From `load`, when the name is unknown; the message suggests the nearest one.
    """

    kind: str
    """What the names name, for messages: ``"attack"``."""
    table: Mapping[str, str]
    """Name to ``"package.module:attribute"``."""

    def names(self) -> tuple[str, ...]:
        """Return all names, sorted."""
        return tuple(sorted(self.table))

    def load(self, name: str) -> T:
        """Import and return the object called ``name``."""
        if name not in self.table:
            raise InputError(
                f"{self.kind} must be one of {', '.join(self.names())}; got {name!r}{nearest(name, self.table)}"
            )
        module, _, attribute = self.table[name].partition(":")
        found: T = getattr(importlib.import_module(module), attribute)
        return found
