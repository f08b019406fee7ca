"""A finished stage of a battery as a file, found again only by what is asked in exactly the same way."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aseptic.attacks.running import Cost, Result
from aseptic.core.canon import content_key
from aseptic.core.errors import InputError
from aseptic.core.files import write_whole

VERSION = 1
"""Raised where what an attack does changes, so that older files are not taken for its results."""
PARTS = ("images", "success", "margin", "logits", "distance", "eligible", "queries")
"""What of a result is stored as arrays."""


def stage_path(
    folder: Path, name: str, asked: tuple[object, ...], weights: Mapping[str, str], arrays: tuple[Tensor, ...]
) -> Path:
    """Return the file of a stage: its name, and a hash of everything that its result depends on.

    Args:
        folder: Where the files are.
        name: Of the stage.
        asked: Attack, threat, seed and ids, all of which say in their ``repr`` what they are.
        weights: Hashes of the model's weights.
        arrays: Images and targets.
    """
    key = content_key(
        {
            "version": VERSION,
            "name": name,
            "asked": [repr(part) for part in asked],
            "weights": dict(weights),
            "arrays": [_hash(array) for array in arrays],
        }
    )
    return folder / f"{name}-{key[:24]}.safetensors"


def write_stage(path: Path, result: Result) -> None:
    """Write the result; the file appears whole or not at all."""
    arrays = {part: getattr(result, part).detach().cpu().contiguous() for part in PARTS}
    cost = result.cost
    spent = {"forwards": cost.forwards, "backwards": cost.backwards, "seconds": cost.seconds}
    write_whole(path, save(arrays, metadata={"cost": json.dumps(spent)}))


def read_stage(path: Path, like: Tensor) -> Result:
    """Return the result as it was, on the device of ``like``.

    Raises:
        InputError: The file is not what `write_stage` wrote.
    """
    try:
        with safe_open(path, framework="pt") as file:
            arrays = {part: file.get_tensor(part).to(like.device) for part in PARTS}
            cost = Cost(**json.loads(file.metadata()["cost"]))
    except (SafetensorError, OSError, KeyError, TypeError, ValueError) as error:
        raise InputError(
            f"{path} must be a stored stage, but cannot be read ({error}); remove it to compute it again"
        ) from error
    return Result(**arrays, cost=cost)


def _hash(array: Tensor) -> str:
    plain = array.detach().cpu().contiguous()
    digest = hashlib.sha256(f"{plain.dtype} {[*plain.shape]}".encode())
    digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
