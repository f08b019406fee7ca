"""aseptic: can this medical-imaging model be fooled, and has it already been infected?

The public names below are imported on first use: ``import aseptic`` alone costs almost nothing.
"""

from typing import TYPE_CHECKING

from aseptic.core.lazy import lazy

if TYPE_CHECKING:
    from aseptic import attacks, explain, scanners, triggers
    from aseptic.attacks.base import Threat
    from aseptic.attacks.running import Result, control_noise, run
    from aseptic.core.errors import AsepticError, ContractError, InputError, RefusedError
    from aseptic.data.base import ReadOptions
    from aseptic.data.imageset import ImageSet
    from aseptic.data.load import load_data
    from aseptic.data.memory import memory_set
    from aseptic.models.load import load_model
    from aseptic.models.save import save_model
    from aseptic.models.subject import Subject
    from aseptic.ops.balls import Ball
    from aseptic.ops.windows import Window
    from aseptic.studies.audit.run import audit, prepare
    from aseptic.studies.audit.settings import AuditSettings
    from aseptic.tasks.detection_goals import Disrupt, Fabricate, Mislabel, Vanish
    from aseptic.tasks.multiclass import Avoid, Reach
    from aseptic.tasks.multilabel import FlipAll, Inject, Suppress
    from aseptic.tasks.segmentation import Damage, Erase, Relabel

__version__ = "0.1.0"

__all__ = [
    "AsepticError",
    "AuditSettings",
    "Avoid",
    "Ball",
    "ContractError",
    "Damage",
    "Disrupt",
    "Erase",
    "Fabricate",
    "FlipAll",
    "ImageSet",
    "Inject",
    "InputError",
    "Mislabel",
    "Reach",
    "ReadOptions",
    "RefusedError",
    "Relabel",
    "Result",
    "Subject",
    "Suppress",
    "Threat",
    "Vanish",
    "Window",
    "__version__",
    "attacks",
    "audit",
    "control_noise",
    "explain",
    "load_data",
    "load_model",
    "memory_set",
    "prepare",
    "run",
    "save_model",
    "scanners",
    "triggers",
]

__getattr__ = lazy(
    __name__,
    {
        "AsepticError": "core.errors",
        "AuditSettings": "studies.audit.settings",
        "Avoid": "tasks.multiclass",
        "Ball": "ops.balls",
        "Window": "ops.windows",
        "ContractError": "core.errors",
        "Damage": "tasks.segmentation",
        "Disrupt": "tasks.detection_goals",
        "Erase": "tasks.segmentation",
        "Fabricate": "tasks.detection_goals",
        "FlipAll": "tasks.multilabel",
        "ImageSet": "data.imageset",
        "Inject": "tasks.multilabel",
        "InputError": "core.errors",
        "Mislabel": "tasks.detection_goals",
        "Reach": "tasks.multiclass",
        "ReadOptions": "data.base",
        "RefusedError": "core.errors",
        "Relabel": "tasks.segmentation",
        "Result": "attacks.running",
        "Subject": "models.subject",
        "Suppress": "tasks.multilabel",
        "Threat": "attacks.base",
        "Vanish": "tasks.detection_goals",
        "attacks": "attacks",
        "audit": "studies.audit.run",
        "control_noise": "attacks.running",
        "explain": "explain",
        "load_data": "data.load",
        "load_model": "models.load",
        "memory_set": "data.memory",
        "prepare": "studies.audit.run",
        "run": "attacks.running",
        "save_model": "models.save",
        "scanners": "scanners",
        "triggers": "triggers",
    },
)
