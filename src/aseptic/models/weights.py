"""Weights files, opened without running anything that is in them."""

import pickle
import pickletools
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from aseptic.core.errors import InputError, RefusedError

TORCH = frozenset({".bin", ".ckpt", ".pt", ".pth"})
PICKLES = frozenset({".joblib", ".pickle", ".pkl"})
NESTED = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
"""Keys under which training scripts keep the weights, in the order of looking."""
HARMLESS = ("torch._utils _rebuild", "torch ", "collections OrderedDict", "torch.storage ")
"""Beginnings of what every weights file names."""
ALLOW = "--trust-code (trust_code=True)"
LEGACY_PICKLES = 5
"""Pickles at the head of a file of the format before torch 1.6."""


def read_weights(path: Path, *, trust_code: bool = False) -> dict[str, Tensor] | nn.Module:
    """Return the named weights in a file; with ``trust_code`` possibly a whole network.

    Raises:
        RefusedError: Opening the file would execute what is in it, and ``trust_code`` is not set.
        InputError: The file is absent, damaged, of an unknown kind, or holds no weights.
    """
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    kind = path.suffix.lower()
    if kind == ".safetensors":
        return _safetensors(path)
    if kind in PICKLES and not trust_code:
        raise RefusedError(
            f"{path} is a pickle, which runs code when opened; save the state_dict as .safetensors instead, "
            f"or open it with {ALLOW} if you trust its author"
        )
    if kind in TORCH | PICKLES:
        return _torch(path, trust_code=trust_code)
    known = ", ".join(sorted(TORCH | {".safetensors", ".onnx"}))
    raise InputError(f"weights must be one of {known}; got {path.name!r} (export other formats to ONNX)")


def _safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise InputError(f"{path} is damaged or is no safetensors file: {error}") from error


def _torch(path: Path, *, trust_code: bool) -> dict[str, Tensor] | nn.Module:
    if _is_torchscript(path):
        if not trust_code:
            raise RefusedError(
                f"{path} is a TorchScript archive, which is a program; save its state_dict as .safetensors instead, "
                f"or open it with {ALLOW} if you trust its author"
            )
        return _torchscript(path)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Detected pickle protocol", category=UserWarning)
            found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = _trusted(path, error, trust_code=trust_code)
    except Exception as error:
        raise _damaged(path, error) from error
    return found if isinstance(found, nn.Module) else _state(path, found)


def _trusted(path: Path, error: Exception, *, trust_code: bool) -> Any:  # noqa: ANN401 - whatever the file makes
    names = _imports(path)
    if names is None:
        raise _damaged(path, error) from error
    if not trust_code:
        told = f" (it asks for {', '.join(names[:3])})" if names else ""
        raise RefusedError(
            f"{path} would run code when opened{told}; save the state_dict alone, as .safetensors, "
            f"or open it with {ALLOW} if you trust its author"
        ) from error
    try:
        # the caller has asked, in words, for the code in this file to be run
        return torch.load(path, map_location="cpu", weights_only=False)
    except Exception as failure:
        raise InputError(f"{path} cannot be opened, even with {ALLOW}: {_line(failure)}") from failure


def _torchscript(path: Path) -> nn.Module:
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=DeprecationWarning, message=".*torch.jit.*")
            warnings.filterwarnings("ignore", category=FutureWarning, message=".*torch.jit.*")
            module: nn.Module = torch.jit.load(path, map_location="cpu")  # type: ignore[no-untyped-call]
    except RuntimeError as error:
        raise _damaged(path, error) from error
    return module


def _is_torchscript(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
    return any(name.endswith("/constants.pkl") or "/code/" in name for name in names)


def _imports(path: Path) -> list[str] | None:
    """Return what the pickles in the file would import, without running them; None where they are cut short."""
    try:
        found = [name for stream in _pickles(path) for name in _globals(stream)]
    except (ValueError, EOFError, zipfile.BadZipFile, UnicodeDecodeError):
        return None
    return list(dict.fromkeys(name.replace(" ", ".") for name in found if not name.startswith(HARMLESS)))


def _pickles(path: Path) -> Iterator[Any]:
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            for name in archive.namelist():
                if name.endswith(".pkl"):
                    with archive.open(name) as file:
                        yield file
        return
    with path.open("rb") as file:
        for _ in range(LEGACY_PICKLES):
            # the object is the fourth pickle; a plain pickle is the only one
            if file.read(1) == b"":
                return
            file.seek(-1, 1)
            yield file


def _globals(file: Any) -> Iterator[str]:  # noqa: ANN401 - binary files have no common type
    recent: list[str] = []
    for code, argument, _ in pickletools.genops(file):
        if code.name == "GLOBAL":
            yield str(argument)
        elif code.name == "STACK_GLOBAL":
            yield " ".join(recent[-2:])
        elif isinstance(argument, str):
            recent.append(argument)


def _state(path: Path, found: Any) -> dict[str, Tensor]:  # noqa: ANN401 - whatever the file holds
    if isinstance(found, Mapping):
        for key in NESTED:
            if isinstance(found.get(key), Mapping | nn.Module):
                inner = found[key]
                found = inner.state_dict() if isinstance(inner, nn.Module) else inner
                break
    if not isinstance(found, Mapping) or not found:
        raise InputError(f"{path} must hold named weights (a state_dict), got {type(found).__name__}")
    wrong = [str(name) for name, value in found.items() if not isinstance(value, Tensor)]
    if wrong:
        raise InputError(
            f"{path} must hold tensors only, or tensors under one of {', '.join(NESTED)}; "
            f"{len(wrong)} of {len(found)} entries are none ({', '.join(wrong[:3])})"
        )
    return dict(found)


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{path} is damaged, cut short, or not a file that torch.save wrote: {_line(error)}")


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
