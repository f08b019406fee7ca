"""Public names that are imported on first use, so that importing a package costs nothing (PEP 562)."""

import importlib
import sys
from collections.abc import Callable, Mapping


def lazy(package: str, homes: Mapping[str, str]) -> Callable[[str], object]:
    """Return the ``__getattr__`` of a package whose public names live elsewhere.

    Args:
        package: Name of the package.
        homes: Public name to its module below the package, where it has the same name; a module that ends in the
            public name is the object itself.
    """

    def find(name: str) -> object:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        module = importlib.import_module(f"{package}.{homes[name]}")
        found: object = module if homes[name].rpartition(".")[2] == name else getattr(module, name)
        setattr(sys.modules[package], name, found)
        return found

    return find
