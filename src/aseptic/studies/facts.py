"""Facts about data and the machine, for the record of any run."""

import platform
from importlib import metadata
from typing import Any

import torch

from aseptic import __version__
from aseptic.data.base import Unreadable
from aseptic.data.imageset import ImageSet

LIBRARIES = ("torch", "torchvision", "timm", "monai", "captum", "numpy", "scikit-learn", "pydicom", "nibabel")


def data(images: ImageSet, fingerprint: str | None = None) -> dict[str, Any]:
    """Return what a report says about a data set; patients and DICOM files by pseudonym only.

    Args:
        images: The images that are used.
        fingerprint: Their fingerprint, where it is already known.
    """
    known = [name for name in images.patients if name is not None]
    return {
        "name": images.name,
        "fingerprint": fingerprint or images.fingerprint(),
        "n": len(images) + len(images.unreadable),
        "n_used": len(images),
        "task": images.task,
        "classes": list(images.classes),
        "patients": len(set(known)) if known else None,
        "notes": list(images.notes),
        "unreadable": [{"file": one.file, "reason": one.reason} for one in map(Unreadable.public, images.unreadable)],
    }


def environment(device: str) -> dict[str, str]:
    """Return the versions and the machine that the numbers were measured on."""
    return {
        "aseptic": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "device": torch.cuda.get_device_name(device) if device.startswith("cuda") else device,
        "threads": str(torch.get_num_threads()),
        **{name: metadata.version(name) for name in LIBRARIES},
    }
