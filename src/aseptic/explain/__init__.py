"""Floor 4: where a network looks, how far an attack moves it, and whether what it looks at is a trigger."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.explain.base import Explainer, decided
    from aseptic.explain.catalogue import EXPLAINERS
    from aseptic.explain.finder import FinderResult, TriggerFinder

__all__ = ["EXPLAINERS", "Explainer", "FinderResult", "TriggerFinder", "decided"]

__getattr__ = lazy(
    __name__,
    {
        "EXPLAINERS": "catalogue",
        "Explainer": "base",
        "FinderResult": "finder",
        "TriggerFinder": "finder",
        "decided": "base",
    },
)
