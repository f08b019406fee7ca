"""Tensors and what they are, in one safetensors file that opens without executing anything."""

import json
from collections.abc import Collection, Mapping
from pathlib import Path

from pydantic import JsonValue
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from aseptic.core.errors import InputError
from aseptic.core.files import write_whole

KEY = "aseptic"
"""Entry of a file's metadata that the facts are kept under."""


def write_tensors(path: Path, kind: str, tensors: Mapping[str, Tensor], facts: Mapping[str, JsonValue]) -> None:
    """Write tensors as safetensors, their facts in the metadata; the file appears whole or not at all."""
    content = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    write_whole(path, save(content, metadata={KEY: json.dumps({"kind": kind, "facts": dict(facts)})}))


def read_tensors(path: Path, kind: str, names: Collection[str] = ()) -> tuple[dict[str, Tensor], dict[str, JsonValue]]:
    """Return what `write_tensors` wrote.

    Args:
        path: The file.
        kind: What it must say that it holds.
        names: Tensors that must be in it.

    Raises:
        InputError: The file is absent or damaged, or holds something else.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        with safe_open(path, framework="pt") as file:
            said = json.loads((file.metadata() or {}).get(KEY, "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
    except (SafetensorError, json.JSONDecodeError) as error:
        raise InputError(f"{path} is damaged or is no safetensors file: {error}") from error
    if not isinstance(said, dict) or said.get("kind") != kind or not tensors.keys() >= set(names):
        raise InputError(f"{path} must hold a {kind}, as its save() writes it")
    return tensors, dict(said["facts"])
