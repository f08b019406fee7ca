"""A trained or loaded model as a folder that `load_model` reads back."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue, ValidationError
from safetensors.torch import save

from aseptic.core.errors import InputError
from aseptic.core.files import write_whole
from aseptic.models.card import CARD_FILE, WEIGHTS_FILE, Card, card_text
from aseptic.models.subject import Subject
from aseptic.models.unwrap import FromProbabilities, unwrapped


def save_model(
    subject: Subject, folder: Path, *, source: str = "", training: Mapping[str, JsonValue] | None = None
) -> Card:
    """Write ``model.safetensors`` and then ``model.yaml`` into ``folder``; each appears whole or not at all.

    Args:
        subject: A model whose ``architecture`` is known.
        folder: Made where it does not exist.
        source: Where the weights come from, in words.
        training: Summary of the training run.

    Raises:
        InputError: The architecture is unknown (ONNX files, networks wrapped by hand), so it could not be rebuilt.
    """
    if not subject.architecture:
        raise InputError(f"model {subject.name!r} has no architecture name, without which it cannot be loaded again")
    content = _bytes(subject)
    try:
        card = Card(
            architecture=subject.architecture,
            task=subject.task.name,  # type: ignore[arg-type]  # checked by the schema
            classes=list(subject.task.classes),
            channels=subject.spec.channels,
            size=list(subject.spec.size) if subject.spec.size is not None else None,
            mean=list(subject.spec.mean),
            std=list(subject.spec.std),
            outputs="probabilities" if isinstance(subject.module, FromProbabilities) else "logits",
            offsets=list(subject.task.offsets),
            source=source,
            sha256=hashlib.sha256(content).hexdigest(),
            training=dict(training or {}),
        )
    except ValidationError as error:
        raise InputError(f"model {subject.name!r} cannot be described in {CARD_FILE}: {error}") from error
    write_whole(folder / WEIGHTS_FILE, content)
    write_whole(folder / CARD_FILE, card_text(card).encode())
    return card


def weights_sha256(subject: Subject) -> str:
    """Return the SHA-256 of the weights: that of the ``model.safetensors`` which `save_model` would write."""
    return hashlib.sha256(_bytes(subject)).hexdigest()


def _bytes(subject: Subject) -> bytes:
    state = unwrapped(subject.module).state_dict()
    # clones, because safetensors refuses tensors that share memory
    return save({name: value.detach().cpu().clone().contiguous() for name, value in state.items()})
