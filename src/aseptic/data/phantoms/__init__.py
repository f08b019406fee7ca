"""Images that the project draws itself, with known anatomy and known lesions: the demo needs no download."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.data.phantoms.catalogue import PHANTOMS
    from aseptic.data.phantoms.drawing import Drawn, draw
    from aseptic.data.phantoms.loading import load_phantom

__all__ = ["PHANTOMS", "Drawn", "draw", "load_phantom"]

__getattr__ = lazy(
    __name__, {"PHANTOMS": "catalogue", "Drawn": "drawing", "draw": "drawing", "load_phantom": "loading"}
)
