"""Floor 4: ways to fool a model, one module each, and the one `run` that measures them."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

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

__getattr__ = lazy(
    __name__,
    {
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
    },
)
