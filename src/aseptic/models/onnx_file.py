"""ONNX files as torch networks; needs the extra ``onnx``."""

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from aseptic.core.errors import InputError, MissingExtraError

OPSET = 17
"""Newest version of the ONNX operators that onnx2torch converts without gaps."""


@dataclass(frozen=True, kw_only=True)
class OnnxNetwork:
    """A converted graph, and what the file says about its own shapes."""

    module: nn.Module
    """The network, in evaluation mode."""
    channels: int | None
    """Channels of its input, where the file fixes them."""
    size: tuple[int, ...] | None
    """Space axes of its input, where the file fixes them."""
    outputs: int | None
    """Number of its outputs, where the file fixes it."""


def read_onnx(path: Path) -> OnnxNetwork:
    """Convert the graph in ``path`` to torch.

    Raises:
        MissingExtraError: onnx or onnx2torch is not installed.
        InputError: The file is damaged, has several inputs or outputs, or uses an operator that cannot be converted.
    """
    onnx, convert = _library("onnx"), _library("onnx2torch").convert
    decode_error = _library("google.protobuf.message").DecodeError
    if not path.is_file():
        raise InputError(f"{path} is not a file")
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except (decode_error, onnx.checker.ValidationError, OSError, ValueError) as error:
        raise InputError(f"{path} is damaged or is no ONNX file: {_line(error)}") from error
    constants = {each.name for each in model.graph.initializer}
    inputs = [each for each in model.graph.input if each.name not in constants]
    if len(inputs) != 1 or len(model.graph.output) != 1:
        counts = f"{len(inputs)} inputs and {len(model.graph.output)} outputs"
        raise InputError(f"{path} must have one input (images) and one output (logits), got {counts}")
    try:
        module: nn.Module = convert(_lowered(onnx, model)).eval()
    except (RuntimeError, ValueError, TypeError, AttributeError, KeyError) as error:
        raise InputError(f"{path} uses what cannot be converted to torch: {_line(error)}") from error
    given, made = _shape(inputs[0]), _shape(model.graph.output[0])
    space = tuple(n for n in given[2:] if n is not None)
    return OnnxNetwork(
        module=module,
        channels=given[1] if len(given) > 1 else None,
        size=space if space and len(space) == len(given[2:]) else None,
        outputs=made[-1] if made else None,
    )


def _lowered(onnx: ModuleType, model: Any) -> Any:  # noqa: ANN401 - generated protobuf class
    """Return the model in the newest version of the operators that onnx2torch knows in full, where onnx can say it."""
    if all(each.version <= OPSET for each in model.opset_import if not each.domain):
        return model
    try:
        return onnx.version_converter.convert_version(model, OPSET)
    except (RuntimeError, onnx.version_converter.ConvertError):
        return model


def _shape(value: Any) -> list[int | None]:  # noqa: ANN401 - generated protobuf class
    """Return the axes of a graph's input or output; None where the file leaves one open."""
    axes = value.type.tensor_type.shape.dim
    return [axis.dim_value or None for axis in axes]


def _library(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise MissingExtraError(
            f"ONNX files need {name.partition('.')[0]}, which is not installed: pip install 'aseptic[onnx]'"
        ) from error


def _line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
