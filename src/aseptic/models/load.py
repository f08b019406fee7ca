"""A model from a folder, a weights file or an ONNX file, as the `Subject` of an audit."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Literal

from torch import Tensor, nn

from aseptic.core.canon import file_sha256
from aseptic.core.errors import InputError
from aseptic.models.archs import build
from aseptic.models.card import CARD_FILE, WEIGHTS_FILE, read_card
from aseptic.models.fitting import fit, outputs_layers
from aseptic.models.onnx_file import read_onnx
from aseptic.models.subject import Subject
from aseptic.models.unwrap import FromProbabilities
from aseptic.models.weights import read_weights
from aseptic.tasks.make import make_task

Outputs = Literal["logits", "probabilities"]


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the caller says about a model; a folder with ``model.yaml`` says it itself."""

    arch: str | None
    """Architecture, as `aseptic.models.archs.build` names it."""
    task: str | None
    """``multiclass`` or ``multilabel``."""
    classes: tuple[str, ...] | None
    """Names of the outputs, in the order of the logits."""
    size: tuple[int, ...] | None
    """Space axes that the network is fed."""
    channels: int | None
    """Channels that it is fed."""
    mean: float | tuple[float, ...] | None
    """Subtracted from each channel, in image units."""
    std: float | tuple[float, ...] | None
    """Divided out of each channel, in image units."""
    outputs: Outputs | None
    """What the network itself returns."""

    def named(self) -> tuple[str, tuple[str, ...]]:
        """Return the task and the classes.

        Raises:
            InputError: One of them was not given.
        """
        if self.task is None or not self.classes:
            absent = " and ".join(name for name, value in (("task", self.task), ("classes", self.classes)) if not value)
            raise InputError(f"{absent} must be given with a bare weights file (a folder with {CARD_FILE} says it)")
        return self.task, self.classes


def load_model(  # noqa: PLR0913 - the facts of a model, all by keyword
    source: str | Path,
    *,
    arch: str | None = None,
    task: str | None = None,
    classes: Sequence[str] | None = None,
    size: int | Sequence[int] | None = None,
    channels: int | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    outputs: Outputs | None = None,
    trust_code: bool = False,
) -> Subject:
    """Return the model in ``source``, in evaluation mode, on the CPU.

    Args:
        source: A folder with ``model.yaml`` and ``model.safetensors``; or a ``.safetensors``, ``.pt``, ``.pth``,
            ``.ckpt``, ``.bin`` or ``.onnx`` file.
        arch: Architecture of a weights file: ``timm:resnet18``. Hidden widths of the head are taken from the file.
        task: ``multiclass`` or ``multilabel``.
        classes: Names of the outputs, in the order of the logits.
        size: Pixels along each space axis that the network is fed; one number means a square.
        channels: Channels that the network is fed; 3 when not said.
        mean: Subtracted from each channel, in image units ([0, 1]); 0 when not said.
        std: Divided out of each channel, in image units; 1 when not said.
        outputs: ``logits`` (when not said), or ``probabilities`` for a network that ends in a softmax or sigmoid.
        trust_code: Whether a file that executes code when opened may do so.

    Raises:
        RefusedError: The file would execute code, and ``trust_code`` is not set.
        MissingExtraError: An ONNX file, and the extra ``onnx`` is not installed.
        InputError: The file is absent or damaged, or does not fit what was said about it.
    """
    path = Path(source)
    facts = Facts(
        arch=arch,
        task=task,
        classes=tuple(classes) if classes is not None else None,
        size=(size, size) if isinstance(size, int) else tuple(size) if size is not None else None,
        channels=channels,
        mean=mean if mean is None or isinstance(mean, int | float) else tuple(mean),
        std=std if std is None or isinstance(std, int | float) else tuple(std),
        outputs=outputs,
    )
    if not path.exists():
        raise InputError(f"model {str(source)!r} does not exist: give a folder with {CARD_FILE} or a weights file")
    if path.is_dir():
        return _from_folder(path, facts)
    if path.suffix.lower() == ".onnx":
        return _from_onnx(path, facts)
    return _from_weights(path, facts, trust_code=trust_code)


def _from_folder(folder: Path, facts: Facts) -> Subject:
    given = [field.name for field in fields(facts) if getattr(facts, field.name) is not None]
    if given:
        raise InputError(f"{', '.join(given)} cannot be given with a model folder: {folder / CARD_FILE} says it")
    card, weights = read_card(folder / CARD_FILE), folder / WEIGHTS_FILE
    state = read_weights(weights)
    if isinstance(state, nn.Module):  # pragma: no cover - a safetensors file holds tensors only
        raise InputError(f"{weights} must hold named weights")
    if (found := file_sha256(weights)) != card.sha256:
        raise InputError(f"{weights} was changed or damaged: its sha256 is {found}, {CARD_FILE} says {card.sha256}")
    task = make_task(card.task, card.classes, card.offsets)
    network = _fitted(card.architecture, state, task.classes, channels=card.channels, size=card.size)
    return Subject(
        FromProbabilities(network, task=card.task) if card.outputs == "probabilities" else network,
        task=task,
        mean=card.mean,
        std=card.std,
        size=card.size,
        channels=card.channels,
        name=folder.resolve().name,
        architecture=card.architecture,
    ).eval()


def _from_weights(path: Path, facts: Facts, *, trust_code: bool) -> Subject:
    found = read_weights(path, trust_code=trust_code)
    if isinstance(found, nn.Module):
        return _subject(found, path, facts)
    _, classes = facts.named()
    if facts.arch is None:
        folder = f" (or give the folder {str(path.parent)!r})" if (path.parent / CARD_FILE).is_file() else ""
        raise InputError(f"arch must be given for the weights in {path}, such as timm:resnet18{folder}")
    network = _fitted(facts.arch, found, classes, channels=facts.channels or 3, size=facts.size)
    return _subject(network, path, facts, architecture=facts.arch)


def _from_onnx(path: Path, facts: Facts) -> Subject:
    if facts.arch is not None:
        raise InputError(f"arch cannot be given with an ONNX file, which holds its own graph; got {facts.arch!r}")
    _, classes = facts.named()
    found = read_onnx(path)
    if found.outputs is not None and found.outputs != len(classes):
        raise InputError(
            f"classes must be as many as the outputs of {path}: it has {found.outputs}, got {len(classes)} classes"
        )
    for name, said, fixed in (("channels", facts.channels, found.channels), ("size", facts.size, found.size)):
        if said is not None and fixed is not None and said != fixed:
            raise InputError(f"{name} must be {fixed}, which {path} fixes; got {said}")
    fed = replace(facts, channels=facts.channels or found.channels, size=facts.size or found.size)
    return _subject(found.module, path, fed)


def _fitted(
    arch: str, state: dict[str, Tensor], classes: Sequence[str], *, channels: int, size: Sequence[int] | None
) -> nn.Module:
    network = build(arch, outputs=len(classes), channels=channels, size=size)
    final = partial(outputs_layers, arch, outputs=len(classes), channels=channels, size=size)
    fit(network, state, arch=arch, classes=classes, final=final)
    return network


def _subject(module: nn.Module, path: Path, facts: Facts, *, architecture: str = "") -> Subject:
    task, classes = facts.named()
    return Subject(
        FromProbabilities(module, task=task) if facts.outputs == "probabilities" else module,
        task=task,
        classes=classes,
        mean=0.0 if facts.mean is None else facts.mean,
        std=1.0 if facts.std is None else facts.std,
        size=facts.size,
        channels=facts.channels or 3,
        name=path.stem,
        architecture=architecture,
    ).eval()
