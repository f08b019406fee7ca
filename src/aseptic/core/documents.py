"""Small files of keys and values that people write: YAML or JSON, checked by a schema."""

from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from aseptic.core.errors import InputError


def read_mapping(path: Path) -> dict[str, Any]:
    """Return the keys and values in a YAML or JSON file.

    Raises:
        InputError: The file is absent, cannot be parsed, or holds something else.
    """
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InputError(f"{path} cannot be read: {' '.join(str(error).split())}") from error
    if not isinstance(found, dict):
        raise InputError(f"{path} must hold keys and values, got {type(found).__name__}")
    return found


def told(error: ValidationError) -> str:
    """Return each key that a schema refuses, with the reason."""
    return "; ".join(f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors())
