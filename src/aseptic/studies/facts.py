"""Facts about models, data and the machine, for the record of any run."""

import platform
from importlib import metadata
from typing import Any

import torch

from aseptic import __version__
from aseptic.core.canon import content_key
from aseptic.data.base import Unreadable
from aseptic.data.imageset import ImageSet
from aseptic.models.save import weights_sha256
from aseptic.models.subject import Subject

LIBRARIES = ("torch", "torchvision", "timm", "monai", "captum", "numpy", "scikit-learn", "pydicom", "nibabel")


def model_key(subject: Subject) -> str:
    """Return the content hash of everything that the model's answers depend on."""
    facts = {"weights": weights_sha256(subject), "network": str(subject.module), "task": subject.task.name}
    spec = {"channels": subject.spec.channels, "size": list(subject.spec.size or ())}
    norm = {"mean": list(subject.spec.mean), "std": list(subject.spec.std)}
    return content_key({**facts, **spec, **norm, "offsets": list(subject.task.offsets)})


def model(subject: Subject) -> dict[str, Any]:
    """Return what a report says about a model."""
    return {
        "name": subject.architecture or subject.name,
        "architecture": subject.architecture or type(subject.module).__name__,
        "task": subject.task.name,
        "classes": list(subject.task.classes),
        "channels": subject.spec.channels,
        "size": list(subject.spec.size) if subject.spec.size else None,
        "mean": list(subject.spec.mean),
        "std": list(subject.spec.std),
        "offsets": list(subject.task.offsets),
        "parameters": sum(parameter.numel() for parameter in subject.parameters()),
        "sha256": weights_sha256(subject),
        "key": model_key(subject),
    }


def device_of(subject: Subject) -> str:
    """Return the device that a model is on."""
    return next((str(parameter.device) for parameter in subject.parameters()), "cpu")


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
