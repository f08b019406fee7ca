"""Images that the project draws itself, with known anatomy and known lesions: the demo needs no download."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aseptic.data.phantoms.catalogue import PHANTOMS
    from aseptic.data.phantoms.drawing import Drawn, draw
    from aseptic.data.phantoms.loading import load_phantom

__all__ = ["PHANTOMS", "Drawn", "draw", "load_phantom"]

_HOME = {"PHANTOMS": "catalogue", "Drawn": "drawing", "draw": "drawing", "load_phantom": "loading"}


def __getattr__(name: str) -> object:
    """Import what is asked for on first use, so that listing the names costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'aseptic.data.phantoms' has no attribute {name!r}")
    return getattr(importlib.import_module(f"aseptic.data.phantoms.{_HOME[name]}"), name)
