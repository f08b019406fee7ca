"""Floor 3: what a backdoor is opened with, as pure functions of images."""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic.triggers.base import Trigger
    from aseptic.triggers.blend import Blend
    from aseptic.triggers.catalogue import TRIGGERS, describe_trigger, make_trigger, parse_trigger
    from aseptic.triggers.dot import Dot
    from aseptic.triggers.electrode import Electrode
    from aseptic.triggers.fiba import FIBA
    from aseptic.triggers.ftrojan import FTrojan
    from aseptic.triggers.lf import LF
    from aseptic.triggers.marker import Marker
    from aseptic.triggers.noise import Noise
    from aseptic.triggers.patch import Patch
    from aseptic.triggers.patterns import pin_trigger
    from aseptic.triggers.refool import Refool
    from aseptic.triggers.ruler import Ruler
    from aseptic.triggers.sig import SIG
    from aseptic.triggers.survival import Flip, Resize, Rotation, Shift, Survival, survivors
    from aseptic.triggers.text import Text
    from aseptic.triggers.wanet import WaNet

__all__ = [
    "FIBA",
    "LF",
    "SIG",
    "TRIGGERS",
    "Blend",
    "Dot",
    "Electrode",
    "FTrojan",
    "Flip",
    "Marker",
    "Noise",
    "Patch",
    "Refool",
    "Resize",
    "Rotation",
    "Ruler",
    "Shift",
    "Survival",
    "Text",
    "Trigger",
    "WaNet",
    "describe_trigger",
    "make_trigger",
    "parse_trigger",
    "pin_trigger",
    "survivors",
]

__getattr__ = lazy(
    __name__,
    {
        "Blend": "blend",
        "Dot": "dot",
        "Electrode": "electrode",
        "FIBA": "fiba",
        "FTrojan": "ftrojan",
        "Flip": "survival",
        "LF": "lf",
        "Marker": "marker",
        "Noise": "noise",
        "Patch": "patch",
        "Refool": "refool",
        "Resize": "survival",
        "Rotation": "survival",
        "Ruler": "ruler",
        "SIG": "sig",
        "Shift": "survival",
        "Survival": "survival",
        "TRIGGERS": "catalogue",
        "Text": "text",
        "Trigger": "base",
        "WaNet": "wanet",
        "describe_trigger": "catalogue",
        "make_trigger": "catalogue",
        "parse_trigger": "catalogue",
        "pin_trigger": "patterns",
        "survivors": "survival",
    },
)
