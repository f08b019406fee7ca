"""Floor 4: ways to fool a model, one module each, and the one `run` that measures them."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aseptic.attacks.base import Cost, EvasionAttack, Result, Threat, control_noise, run
    from aseptic.attacks.catalogue import ATTACKS, make_attack
    from aseptic.attacks.fgsm import FGSM
    from aseptic.attacks.pgd import PGD

__all__ = [
    "ATTACKS",
    "FGSM",
    "PGD",
    "Cost",
    "EvasionAttack",
    "Result",
    "Threat",
    "control_noise",
    "make_attack",
    "run",
]

_HOME = {
    "ATTACKS": "catalogue",
    "FGSM": "fgsm",
    "PGD": "pgd",
    "Cost": "base",
    "EvasionAttack": "base",
    "Result": "base",
    "Threat": "base",
    "control_noise": "base",
    "make_attack": "catalogue",
    "run": "base",
}


def __getattr__(name: str) -> object:
    """Import what is asked for on first use, so that importing the package costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'aseptic.attacks' has no attribute {name!r}")
    return getattr(importlib.import_module(f"aseptic.attacks.{_HOME[name]}"), name)
