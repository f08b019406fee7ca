"""Floor 4: ways to fool a model, one module each, and the one `run` that measures them."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.attacks.almaprox import ALMAProx
    from aseptic.attacks.apgd import APGDCE, APGDDLR, APGDT
    from aseptic.attacks.autoattack import AutoAttack
    from aseptic.attacks.base import Batch, Counted, EvasionAttack, Threat
    from aseptic.attacks.battery import BatteryResult, run_battery
    from aseptic.attacks.bim import BIM
    from aseptic.attacks.boundary import Boundary
    from aseptic.attacks.catalogue import ATTACKS, make_attack
    from aseptic.attacks.cospgd import CosPGD
    from aseptic.attacks.curves import curve
    from aseptic.attacks.cwl2 import CWL2
    from aseptic.attacks.cwlinf import CWLinf
    from aseptic.attacks.dag import DAG
    from aseptic.attacks.ddn import DDN
    from aseptic.attacks.deepfool import DeepFool
    from aseptic.attacks.difgsm import DIFGSM
    from aseptic.attacks.dpatch import DPatch
    from aseptic.attacks.fab import FAB, FABT
    from aseptic.attacks.fgsm import FGSM
    from aseptic.attacks.fmn import FMN
    from aseptic.attacks.hopskipjump import HopSkipJump
    from aseptic.attacks.interfaces import Flag, Gradients, LabelOnly, Scores
    from aseptic.attacks.mifgsm import MIFGSM
    from aseptic.attacks.nifgsm import NIFGSM
    from aseptic.attacks.patch import Patch
    from aseptic.attacks.pgd import PGD
    from aseptic.attacks.running import Cost, Result, control_noise, run
    from aseptic.attacks.segpgd import SegPGD
    from aseptic.attacks.sia import SIA
    from aseptic.attacks.sifgsm import SIFGSM
    from aseptic.attacks.simba import SimBA
    from aseptic.attacks.square import Square
    from aseptic.attacks.sticker import Sticker, train_sticker
    from aseptic.attacks.surrogates import SurrogateEnsemble, ensemble
    from aseptic.attacks.svre import SVRE
    from aseptic.attacks.tifgsm import TIFGSM
    from aseptic.attacks.tog import TOG
    from aseptic.attacks.universal import Universal, train_universal
    from aseptic.attacks.vmifgsm import VMIFGSM

__all__ = [
    "APGDCE",
    "APGDDLR",
    "APGDT",
    "ATTACKS",
    "BIM",
    "CWL2",
    "DAG",
    "DDN",
    "DIFGSM",
    "FAB",
    "FABT",
    "FGSM",
    "FMN",
    "MIFGSM",
    "NIFGSM",
    "PGD",
    "SIA",
    "SIFGSM",
    "SVRE",
    "TIFGSM",
    "TOG",
    "VMIFGSM",
    "ALMAProx",
    "AutoAttack",
    "Batch",
    "BatteryResult",
    "Boundary",
    "CWLinf",
    "CosPGD",
    "Cost",
    "Counted",
    "DPatch",
    "DeepFool",
    "EvasionAttack",
    "Flag",
    "Gradients",
    "HopSkipJump",
    "LabelOnly",
    "Patch",
    "Result",
    "Scores",
    "SegPGD",
    "SimBA",
    "Square",
    "Sticker",
    "SurrogateEnsemble",
    "Threat",
    "Universal",
    "control_noise",
    "curve",
    "ensemble",
    "make_attack",
    "run",
    "run_battery",
    "train_sticker",
    "train_universal",
]

__getattr__ = lazy(
    __name__,
    {
        "train_universal": "universal",
        "Universal": "universal",
        "train_sticker": "sticker",
        "Sticker": "sticker",
        "Patch": "patch",
        "ALMAProx": "almaprox",
        "BatteryResult": "battery",
        "run_battery": "battery",
        "DAG": "dag",
        "DPatch": "dpatch",
        "TOG": "tog",
        "CosPGD": "cospgd",
        "SegPGD": "segpgd",
        "AutoAttack": "autoattack",
        "curve": "curves",
        "ensemble": "surrogates",
        "SurrogateEnsemble": "surrogates",
        "SVRE": "svre",
        "FABT": "fab",
        "FAB": "fab",
        "Square": "square",
        "SimBA": "simba",
        "HopSkipJump": "hopskipjump",
        "Boundary": "boundary",
        "SIA": "sia",
        "VMIFGSM": "vmifgsm",
        "SIFGSM": "sifgsm",
        "TIFGSM": "tifgsm",
        "DIFGSM": "difgsm",
        "NIFGSM": "nifgsm",
        "MIFGSM": "mifgsm",
        "APGDT": "apgd",
        "APGDDLR": "apgd",
        "APGDCE": "apgd",
        "FMN": "fmn",
        "DeepFool": "deepfool",
        "DDN": "ddn",
        "CWL2": "cwl2",
        "CWLinf": "cwlinf",
        "BIM": "bim",
        "ATTACKS": "catalogue",
        "FGSM": "fgsm",
        "PGD": "pgd",
        "Cost": "running",
        "EvasionAttack": "base",
        "Flag": "interfaces",
        "Gradients": "interfaces",
        "LabelOnly": "interfaces",
        "Result": "running",
        "Scores": "interfaces",
        "Batch": "base",
        "Counted": "base",
        "Threat": "base",
        "control_noise": "running",
        "make_attack": "catalogue",
        "run": "running",
    },
)
