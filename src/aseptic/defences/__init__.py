"""Floor 5: cures. A copy of a model with less of a backdoor in it, learned from a few clean images."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.defences.anp import ANP
    from aseptic.defences.base import Defence
    from aseptic.defences.catalogue import DEFENCES, make_defence
    from aseptic.defences.fine_pruning import FinePruning
    from aseptic.defences.fine_tuning import FineTuning
    from aseptic.defences.ibau import IBAU

__all__ = ["ANP", "DEFENCES", "IBAU", "Defence", "FinePruning", "FineTuning", "make_defence"]

__getattr__ = lazy(
    __name__,
    {
        "ANP": "anp",
        "DEFENCES": "catalogue",
        "IBAU": "ibau",
        "Defence": "base",
        "FinePruning": "fine_pruning",
        "FineTuning": "fine_tuning",
        "make_defence": "catalogue",
    },
)
