"""Every detector by its name, and how one that has learned is kept in a file."""

from pathlib import Path
from typing import Any

from pydantic import JsonValue

from aseptic.core.canon import content_key
from aseptic.core.errors import InputError
from aseptic.core.making import describe, make
from aseptic.core.registry import Registry
from aseptic.core.tensors import read_tensors, write_tensors
from aseptic.detectors.base import Detector, FittedDetector
from aseptic.models.guard import fingerprint
from aseptic.models.subject import Subject

DETECTORS: Registry[type[Detector]] = Registry(
    "detector",
    {
        "frequency": "aseptic.detectors.frequency:Frequency",
        "sentinet": "aseptic.detectors.sentinet:SentiNet",
        "strip": "aseptic.detectors.strip:STRIP",
    },
)
"""Name of a detector to its class."""
KIND, HELD, STATE = "detector", "held", "state."
"""What a file says that it holds, and how its tensors are called."""


def make_detector(name: str, **options: Any) -> Detector:  # noqa: ANN401 - as written in a plan
    """Return the detector called ``name`` with these settings; the others keep their defaults.

    Raises:
        InputError: No such detector, a setting that it does not have, or a value that it refuses.

    >>> make_detector("strip", overlays=8).overlays
    8
    """
    return make(DETECTORS, name, options)


def save_detector(fitted: FittedDetector, path: Path) -> None:
    """Write a detector as safetensors, its settings in the metadata; the file appears whole or not at all.

    The file holds the images that some detectors keep (overlays, carriers), and is as confidential as they are.
    """
    tensors = {f"{STATE}{name}": value for name, value in fitted.state.items()}
    facts: dict[str, JsonValue] = {
        "settings": describe(DETECTORS, fitted.detector),
        "seed": fitted.seed,
        "shape": [*fitted.shape],
        "model": _model_key(fitted.subject),
    }
    write_tensors(path, KIND, {HELD: fitted.held, **tensors}, facts)


def load_detector(path: Path, subject: Subject) -> FittedDetector:
    """Return what `save_detector` wrote; its scores are the same, bit for bit.

    Args:
        path: The file.
        subject: The model that the detector was fitted to.

    Raises:
        InputError: The file is absent or damaged, holds something else, or the model is another.
    """
    tensors, facts = read_tensors(path, KIND, [HELD])
    if facts.get("model") != _model_key(subject):
        raise InputError(f"{path} must be used with the model that it was fitted to, and {subject.name} is another")
    settings, shape = facts.get("settings"), facts.get("shape")
    if not isinstance(settings, dict) or not isinstance(shape, list):
        raise InputError(f"{path} must hold a {KIND}, as save_detector writes it")
    name = str(settings.pop("name"))
    return FittedDetector(
        detector=make_detector(name, **settings),
        subject=subject,
        state={name.removeprefix(STATE): value for name, value in tensors.items() if name.startswith(STATE)},
        shape=tuple(int(str(length)) for length in shape),
        seed=int(str(facts["seed"])),
        held=tensors[HELD],
    )


def _model_key(subject: Subject) -> str:
    """Return what the weights, the input and the task of a model come to."""
    weights = fingerprint(subject)
    return content_key({"weights": weights, "input": repr(subject.spec), "task": repr(subject.task)})
